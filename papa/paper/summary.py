"""The results in short: one table per task, and the verdicts. On the page and in the README of reference results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.report import MEASURES

POOLED = {
    "liked_distance_ratio": 2,
    "served_nearest_ratio": 2,
    "served_unique": 1,
    "sample": 0,
    "amortized_cost_100": 0,
}
"""Measure -> decimals; means over the users."""

Results = tuple[str, list[str], list[list[str]]]
"""Task, headings, rows."""


def extent(table: pd.DataFrame) -> str:
    """Completed and diverged runs."""
    runs = table[[*select.RUN_AXES, "lost"]].drop_duplicates(select.RUN_AXES)
    counts = [report.plural(runs[axis].nunique(), axis) for axis in ("method", "user", "task", "seed")]
    lost = ", ".join(f"{count} of {method}" for method, count in sorted(Counter(runs.method[runs.lost]).items()))
    return f"{report.plural(len(runs), 'run')}: {', '.join(counts)}. Diverged: {lost or 'none'}."


def results(table: pd.DataFrame, grid: Grid) -> list[Results]:
    """The compared methods on each task: preference for each user, diversity and cost over the users."""
    found = []
    for task in select.preference_tasks(table):
        users = select.users_of(grid, task)
        names = [MEASURES[metric].name for metric in POOLED]
        names[2] += f", of {grid.measures(task).served}"
        methods = [m for m in select.main_methods(grid, task) if ((table.task == task) & (table.method == m)).any()]
        found.append((task, ["method", *users, *names], [_row(table, grid, task, m, users) for m in methods]))
    return found


def _row(table: pd.DataFrame, grid: Grid, task: str, method: str, users: list[str]) -> list[str]:
    def of(metric: str, members: list[str]) -> report.Estimate:
        return select.estimate(select.values(table, task, method, metric, members), grid, members)

    preferences = {user: of(select.PREFERENCE, [user]) for user in users}
    ran = [user for user, found in preferences.items() if found.n]
    pooled = [report.number(of(metric, ran).mean, digits) for metric, digits in POOLED.items()]
    return [method, *map(report.plus_minus, preferences.values()), *pooled]


def verdicts(claims: Sequence[Mapping[str, object]]) -> str:
    """The number of claims with each verdict, and the decided ones."""
    counts = Counter(str(claim["verdict"]) for claim in claims)
    parts = [f"{report.plural(len(claims), 'claim')}: {', '.join(f'{n} {verdict}' for verdict, n in counts.items())}."]
    for verdict in ("supported", "refuted"):
        sentences = [str(claim["sentence"]) for claim in claims if claim["verdict"] == verdict]
        parts += [f"{verdict.capitalize()}: {' '.join(sentences)}"] if sentences else []
    return " ".join(parts)


def markdown(table: pd.DataFrame, grid: Grid, claims: Sequence[Mapping[str, object]]) -> str:
    """The summary for a README."""
    parts = [f"### {task}\n\n{report.markdown(heads, rows)}" for task, heads, rows in results(table, grid)]
    about = f"Under a user's name: preference (gold). {report.intervals_sentence(grid)} {table.attrs.get('about', '')}"
    return "\n".join([*parts, f"{about.strip()}\n", f"{verdicts(claims)}\n"])
