"""T9: every compared method over all users at once: interquartile mean and probability of improvement."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from papa.benchmark.grid import BASE, Grid
from papa.paper import report, select, stats
from papa.paper.select import PREFERENCE
from papa.paper.stats import Estimate
from papa.paper.tables import Made

AGAINST = "papa"
"""The algorithm whose first method the others are compared with, where it ran; else the first method."""
AXES = ["task", "labels", "method", "measure", "mean", "lower", "upper", "n_seeds"]
COLUMNS = {"iqm": "preference (IQM) ↑", "difference": "difference to {}", "better": "P(better than {})"}


def make(table: pd.DataFrame, grid: Grid) -> Made:
    """T9 from the long table."""
    rows, parts, of_all, users_of_all = [], [], [], []
    for task in select.preference_tasks(table):
        users = select.shared_users(table, grid, task)
        methods = [m for m in select.main_methods(grid, task) if len(_runs(table, task, m, users))]
        if not users or not methods:
            continue
        first = [m for m in methods if grid.methods[m].name == AGAINST]
        against = next(iter([*first, *(m for m in methods if m != BASE)]), methods[0])
        found = {method: _measures(table, grid, task, users, method, against) for method in methods}
        labels = {m: grid.methods[m].settings.labels for m in methods}
        rows += [
            {"task": task, "labels": labels[method], "method": method, "measure": name} | report.columns(value)
            for method, measures in found.items()
            for name, value in measures.items()
        ]
        lines = [
            [
                method,
                report.NOTHING if method == BASE else str(labels[method]),
                *(report.plus_minus(measures[name]) if name in measures else report.NOTHING for name in COLUMNS),
            ]
            for method, measures in found.items()
        ]
        heads = ["method", "labels", *(head.format(against) for head in COLUMNS.values())]
        parts.append(f"### {task} ({', '.join(users)})\n\n{report.markdown(heads, lines)}")
        of_all, users_of_all = of_all + methods, users_of_all + users
    caption = report.caption(
        "All users at once",
        "Interquartile mean of the preference (gold), paired difference, and probability that a run is better than one "
        "of the other method for the same user. Intervals of the first and last: jackknife over seeds.",
        report.scope(table, grid, select.preference_tasks(table), of_all, users_of_all),
    )
    return Made(pd.DataFrame(rows, columns=AXES), "\n".join(parts), caption)


def _runs(table: pd.DataFrame, task: str, method: str, users: Sequence[str]) -> pd.DataFrame:
    """Final preference, a row for each seed that has all users, a column for each user."""
    return select.values(table, task, method, PREFERENCE, users).unstack("user").reindex(columns=list(users)).dropna()


def _over_seeds(runs: pd.DataFrame, statistic: Callable[[np.ndarray], float], grid: Grid) -> Estimate:
    """A statistic of (seeds, users) values with an interval over seeds."""
    return stats.jackknife(list(runs.to_numpy()), lambda chosen: statistic(np.stack(chosen)), grid.config.confidence)


def _measures(
    table: pd.DataFrame, grid: Grid, task: str, users: Sequence[str], method: str, against: str
) -> dict[str, Estimate]:
    runs, other = (_runs(table, task, name, users) for name in (method, against))
    found = {"iqm": _over_seeds(runs, stats.interquartile_mean, grid)}
    if method != against:
        both, n = runs.index.intersection(other.index), len(users)
        own, theirs = (select.values(table, task, name, PREFERENCE, users) for name in (method, against))
        found["difference"] = select.difference(own, theirs, grid)
        pair = pd.concat([runs.loc[both], other.loc[both]], axis=1)
        found["better"] = _over_seeds(pair, lambda x: stats.probability_of_improvement(x[:, :n], x[:, n:]), grid)
    return found
