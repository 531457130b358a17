"""T9: every method over all users at once: interquartile mean, area under the curve, chance to be better, the front."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from papa.benchmark.grid import BASE, Grid
from papa.paper import report, select, stats
from papa.paper.served import LEVEL
from papa.paper.stats import Estimate
from papa.paper.tables import Made
from papa.paper.tables.cost import to_level

AGAINST = "papa"
"""The algorithm whose first method the others are compared with, where it ran; else the first method."""
PREFERENCE, KEPT = "preference_gold", "liked_distance_ratio"
AXES = ["task", "labels", "method", "measure", "mean", "lower", "upper", "n_seeds", "reached", "runs"]
COLUMNS: dict[str, str] = {
    "iqm": "preference, middle half ↑",
    "area": "area under the curve ↑",
    "difference": "difference to {}",
    "better": "P(better than {})",
    "kept": "distance within liked / base's",
}


def make(table: pd.DataFrame, grid: Grid) -> Made:
    """T9 from the long table."""
    rows, parts = [], []
    for task in select.preference_tasks(table):
        users, ran = _shown(table, grid, task)
        if not users or not ran:
            continue
        of_papa = [m for m in ran if grid.methods[m].name == AGAINST]
        against = next(iter([*of_papa, *(m for m in ran if m != BASE)]), ran[0])
        found = {method: _measures(table, grid, task, users, method, against) for method in ran}
        level = {method: _labels_to_level(table, grid, task, users, method) for method in ran if method != BASE}
        front = _front(found, grid)
        for method, measures in found.items():
            axes = {"task": task, "labels": grid.methods[method].settings.labels, "method": method}
            rows += [axes | {"measure": name} | report.columns(value) for name, value in measures.items()]
            if method in level:
                of = level[method]
                rows.append(axes | {"measure": "labels_to_level", "mean": of.median, "reached": of.count, "runs": of.n})
        heads = [
            "method",
            "labels",
            *(head.format(against) for head in COLUMNS.values()),
            f"labels to {LEVEL:g}",
            "front",
        ]
        lines = [
            [
                method,
                report.NOTHING if method == BASE else str(grid.methods[method].settings.labels),
                *(report.plus_minus(measures[name]) if name in measures else report.NOTHING for name in COLUMNS),
                _reached(level[method]) if method in level else report.NOTHING,
                "yes" if method in front else report.NOTHING,
            ]
            for method, measures in found.items()
        ]
        parts.append(f"### {task} ({', '.join(users)})\n\n{report.markdown(heads, lines)}")
    return Made(pd.DataFrame(rows, columns=AXES), "\n".join(parts), caption(table, grid))


def _shown(table: pd.DataFrame, grid: Grid, task: str) -> tuple[list[str], list[str]]:
    """The users, and the methods that have a seed with all of them."""
    users = select.shared_users(table, grid, task)
    return users, [m for m in select.main_methods(grid, task) if len(_runs(table, task, m, users))]


def _runs(table: pd.DataFrame, task: str, method: str, users: Sequence[str], metric: str = PREFERENCE) -> pd.DataFrame:
    """Final values, a row for each seed that has all users, a column for each user."""
    wide = select.values(table, task, method, metric, users).unstack("user")
    return wide.reindex(columns=list(users)).dropna()


def _over_seeds(runs: pd.DataFrame, statistic: Callable[[np.ndarray], float], grid: Grid) -> Estimate:
    """A statistic of (seeds, users) values with an interval over seeds."""
    units = list(runs.to_numpy())
    return stats.jackknife(units, lambda chosen: statistic(np.stack(chosen)), grid.config.confidence)


def _measures(
    table: pd.DataFrame, grid: Grid, task: str, users: Sequence[str], method: str, against: str
) -> dict[str, Estimate]:
    runs, other = (_runs(table, task, name, users) for name in (method, against))
    found = {"iqm": _over_seeds(runs, stats.interquartile_mean, grid)}
    if method != BASE:
        found["area"] = select.estimate(_areas(table, grid, task, users, method), grid, users)
    if method != against:
        both = runs.index.intersection(other.index)
        pair = pd.concat([runs.loc[both], other.loc[both]], axis=1)
        n = len(users)
        own, theirs = (select.values(table, task, name, PREFERENCE, users) for name in (method, against))
        found["difference"] = select.difference(own, theirs, grid)
        found["better"] = _over_seeds(pair, lambda x: stats.probability_of_improvement(x[:, :n], x[:, n:]), grid)
    found["kept"] = select.estimate(select.values(table, task, method, KEPT, users), grid, users)
    return found


def _areas(table: pd.DataFrame, grid: Grid, task: str, users: Sequence[str], method: str) -> pd.Series:
    """(user, seed) -> mean preference over the labels from none to all."""
    settings, found = grid.methods[method].settings, {}
    for user in users:
        curves = select.curves(table, task, method, PREFERENCE, user)
        for seed, column in curves.items():
            curve = column.dropna()
            if len(curve) > 1:
                labels = np.minimum(curve.index.to_numpy(dtype=float) * settings.per_round, settings.labels)
                found[user, seed] = stats.area(labels, curve)
    index = (
        pd.MultiIndex.from_tuples(list(found), names=select.RUN)
        if found
        else pd.MultiIndex.from_arrays([[], []], names=select.RUN)
    )
    return pd.Series(list(found.values()), index=index, dtype=float)


def _labels_to_level(table: pd.DataFrame, grid: Grid, task: str, users: Sequence[str], method: str) -> stats.Reached:
    """Runs of all users together: how many got to the level, and the mean over users of the median of labels; not known
    where it is not known of one user."""
    each = [to_level(table, grid, task, method, user, "labels") for user in users]
    return stats.Reached(
        sum(of.count for of in each), sum(of.n for of in each), float(np.mean([of.median for of in each]))
    )


def _reached(of: stats.Reached) -> str:
    return f"{report.number(of.median, 0)} ({of.count} of {of.n})"


def _front(found: dict[str, dict[str, Estimate]], grid: Grid) -> list[str]:
    """The methods that no other one of as many labels beats in preference and in diversity within what is liked."""
    budgets: dict[int, dict[str, tuple[float, float]]] = {}
    for method, measures in found.items():
        if np.isfinite(measures["kept"].mean) and method != BASE:
            point = (measures["iqm"].mean, measures["kept"].mean)
            budgets.setdefault(grid.methods[method].settings.labels, {})[method] = point
    return [method for points in budgets.values() for method in stats.front(points)]


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of T9."""
    tasks = select.preference_tasks(table)
    shown = {task: _shown(table, grid, task) for task in tasks}
    methods = [method for _, ran in shown.values() for method in ran]
    users = [user for of, _ in shown.values() for user in of]
    return report.paragraph(
        "Every method over all users at once. Preference (gold) when all labels are spent: the mean of the middle half "
        "of all runs (interquartile mean); the mean along the curve from no label to the last; the difference to "
        "another method on the same users and seeds; and how probable it is that a run is better than one of that "
        f"method for the same user, a tie counting half. Labels to {LEVEL:g}: the median over the "
        "runs of a user, with those censored that never get there, averaged over users, and how many runs get there. "
        "Front: no method of as many labels is better both in preference and in distance within what is liked. Methods "
        "that did not run for all of these users are left out.",
        report.quote(table, grid, tasks, methods, users),
        f"Intervals are {100 * grid.config.confidence:g}% over seeds, of which each has all users: t intervals of "
        "means, and of the middle half and the probability by the jackknife.",
        report.diverged_sentence(table, tasks, methods),
    )
