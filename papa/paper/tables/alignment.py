"""T1 and T2: alignment of every compared method, per user and pooled; T2 has the text-to-image tasks."""

from __future__ import annotations

import pandas as pd

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.report import MEASURES
from papa.paper.stats import Estimate
from papa.paper.tables import Made

SHOWN = (
    "preference_gold",
    "preference_held_out",
    "fid_preferred",
    "distance_ratio",
    "served_nearest_ratio",
    "sample",
)
"""Columns of the Markdown; the CSV has every final metric."""
ASIDE = {"fid_preferred": "fid_preferred_floor", "sample": "amortized_cost_100"}
"""Measure -> the measure whose mean is in brackets behind it."""
UNDEFINED_IF_NEVER = {"labels_to_first_like"}
"""Measures without a value for some runs, where a mean over the others would flatter."""
POOLED, LIKED = "pooled", select.PREFERENCE
NOTHING = pd.Series(dtype=float, index=pd.MultiIndex.from_arrays([[], []], names=select.RUN))
AXES = ["task", "user", "method", "algorithm", "metric", "mean", "lower", "upper", "n_seeds", "diverged"]

Found = dict[tuple[str, str], Estimate]
"""(method, metric) -> estimate."""


def make(table: pd.DataFrame, grid: Grid) -> Made:
    """T1 from the long table."""
    return _build(table[~select.prompted_rows(table, grid)], grid, SHOWN, "Alignment to one user's preferences")


def prompted(table: pd.DataFrame, grid: Grid) -> Made:
    """T2 from the long table."""
    shown = (*SHOWN[:2], "retention_held_out", *SHOWN[2:])
    return _build(table[select.prompted_rows(table, grid)], grid, shown, "Text-to-image alignment to one user")


def _build(table: pd.DataFrame, grid: Grid, shown: tuple[str, ...], title: str) -> Made:
    """The table of every task, per user and pooled, with the columns `shown`."""
    rows, parts = [], []
    for task in select.preference_tasks(table):
        users = select.users_of(grid, task)
        common = select.shared_users(table, grid, task)
        pools = {user: [user] for user in users} | ({POOLED: common} if len(common) > 1 else {})
        for pool, members in pools.items():
            found = _estimates(table, grid, task, members)
            lost = {method: select.diverged(table, task, method, members) for method in {key[0] for key in found}}
            rows += [
                {"task": task, "user": pool, "method": method, "algorithm": grid.methods[method].name, "metric": metric}
                | report.columns(value)
                | {"diverged": lost[method]}
                for (method, metric), value in found.items()
            ]
            if found:
                of = f" ({', '.join(members)})" if pool == POOLED else ""
                parts.append(f"### {task}: {pool}{of}{_markdown(grid, task, members, found, lost, shown)}")
    return Made(pd.DataFrame(rows, columns=AXES), "\n".join(parts), _caption(table, grid, title))


def _estimates(table: pd.DataFrame, grid: Grid, task: str, users: list[str]) -> Found:
    """Estimates over seeds; a measure that only some users have is pooled over those."""
    final = table[(table.task == task) & (table.stage == "final") & table.user.isin(users)]
    found = {}
    for method in select.main_methods(grid, task):
        mine = final[final.method == method]
        whole = select.finished(mine).set_index(["metric", *select.RUN]).value.sort_index()
        for metric in mine.metric.drop_duplicates():
            if metric not in UNDEFINED_IF_NEVER:
                values = whole.loc[metric] if metric in whole.index else NOTHING
                measured = set(final.loc[final.metric == metric, "user"])
                found[method, metric] = select.estimate(values, grid, [user for user in users if user in measured])
    return found


def _markdown(
    grid: Grid, task: str, users: list[str], found: Found, lost: dict[str, int], shown: tuple[str, ...]
) -> str:
    """The rest of the heading, with the number of seeds if it is equal for all methods, and the table."""
    shown = tuple(metric for metric in shown if any(key[1] == metric for key in found))
    methods = list(dict.fromkeys(method for method, _ in found))
    seeds = {m: {found[m, metric].n for metric in shown if (m, metric) in found} or {0} for m in methods}
    counts = set().union(*seeds.values())
    same = f", {report.plural(min(counts), 'seed')}" if len(counts) == 1 else ""
    heads = {metric: MEASURES[metric].heading for metric in shown}
    if report.preference_name(grid, task, *users) == "mean preference":
        heads[LIKED] = f"mean {heads[LIKED]}"
    rows = []
    for method, name in report.named(grid, methods).items():
        cells = [_cell(found, method, metric) for metric in shown]
        span = "–".join(map(str, sorted({min(seeds[method]), max(seeds[method])})))
        rows.append([name + (f" ({lost[method]} diverged)" if lost[method] else ""), *cells, *([] if same else [span])])
    return f"{same}\n\n{report.markdown(['method', *heads.values(), *([] if same else ['seeds'])], rows)}"


def _cell(found: Found, method: str, metric: str) -> str:
    value, aside = found.get((method, metric)), found.get((method, ASIDE.get(metric, "")))
    if value is None or not value.n:
        return report.NOTHING
    digits = MEASURES[metric].digits
    behind = f" ({report.number(aside.mean, digits)})" if aside and aside.n else ""
    return report.plus_minus(value, digits) + behind


def _caption(table: pd.DataFrame, grid: Grid, title: str) -> str:
    tasks = select.preference_tasks(table)
    methods = [method for task in tasks for method in select.main_methods(grid, task)]
    users = [user for task in tasks for user in select.users_of(grid, task)]
    return report.caption(
        title,
        "Preference: share of samples that the judge behind the labels (gold) or an independent one likes. In "
        "brackets: FID of real images; cost amortized over 100 images.",
        report.offline_sentence(grid, methods),
        report.scope(table, grid, tasks, methods, users),
    )
