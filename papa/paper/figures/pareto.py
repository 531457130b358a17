"""F2: preference against three measures of diversity: a row for each user, then rows for the ablations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.figures import style
from papa.paper.stats import Estimate

JUDGES = {"preference_held_out": "held-out judge", "preference_gold": "gold judge"}
"""The first of these that was measured is shown."""
SWEEPS = {"fkc": "beta_max", "epapa": "frozen_below"}
ROW, PAGE = 1.75, 8.0
"""Height of a row in inches, and of all of them together at the most."""
CROWD = 10
"""Maximum number of ablations in one row that remain distinguishable."""
Points = dict[str, tuple[Estimate, Estimate]]
"""Method -> (diversity, preference)."""


@dataclass(frozen=True)
class Row:
    """A row of panels: what is shown for these users. variants: the ablations among the methods."""

    task: str
    users: list[str]
    methods: list[str]
    variants: list[str]


def rows(table: pd.DataFrame, grid: Grid) -> list[Row]:
    """The compared methods for each user; then the ablations beside their references, for the users they ran for."""
    tasks = select.preference_tasks(table)
    found = [
        Row(task, [user], select.main_methods(grid, task), []) for task in tasks for user in select.users_of(grid, task)
    ]
    for task in tasks:
        groups: dict[tuple[str, ...], list[str]] = {}
        for method in select.variant_methods(grid, task):
            ran = set(table.loc[(table.task == task) & (table.method == method), "user"])
            if users := tuple(user for user in select.users_of(grid, task) if user in ran):
                groups.setdefault(users, []).append(method)
        for users, together in groups.items():
            for variants in _split(grid, together):
                shown = {*variants, *(select.reference_of(grid, method) for method in variants)}
                found.append(Row(task, list(users), [m for m in select.ordered(grid) if m in shown], variants))
    return found


def _split(grid: Grid, variants: list[str]) -> list[list[str]]:
    """The ablations of one row, or of a row per reference where one would be crowded."""
    if len(variants) <= CROWD:
        return [variants]
    families: dict[str | None, list[str]] = {}
    for method in variants:
        families.setdefault(select.reference_of(grid, method), []).append(method)
    return list(families.values())


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F2 from the long table."""
    shown = rows(table, grid)
    variants = [method for row in shown for method in row.variants]
    looks = style.looks(grid) | {method: style.look(place) for place, method in enumerate(variants)}
    made = style.figure(style.FULL, min(ROW * len(shown), PAGE) + 0.3)
    axes = made.subplots(len(shown), len(report.DIVERSITY), squeeze=False, sharey="row")
    for metric, column in zip(report.DIVERSITY, axes.T, strict=True):
        points = [_points(table, grid, row, metric) for row in shown]
        users = [of for row, of in zip(shown, points, strict=True) if not row.variants]
        for row, ax, mine in zip(shown, column, points, strict=True):
            _panel(ax, grid, row, mine, looks)
            _limit(ax, [mine] if row.variants else users)
            ax.set_xlabel(report.name_of(metric).replace(" (", "\n(") if ax is column[-1] else "")
    for row, line in zip(shown, axes, strict=True):
        line[0].set_title(_title(grid, row), loc="left")
        line[0].set_ylabel(f"{report.preference_name(grid, row.task, *row.users)}\n({JUDGES[_judge(table, row)]})")
    style.legend_below(made, axes.flat, 4)
    return made


def _title(grid: Grid, row: Row) -> str:
    if not row.variants:
        return row.users[0]
    of = {str(select.reference_of(grid, method)) for method in row.variants}
    return f"ablations of {', '.join(sorted(of))} ({', '.join(row.users)})"


def _judge(table: pd.DataFrame, row: Row) -> str:
    mine = table[(table.task == row.task) & table.user.isin(row.users)]
    return next((metric for metric in JUDGES if (mine.metric == metric).any()), next(iter(JUDGES)))


def _points(table: pd.DataFrame, grid: Grid, row: Row, metric: str) -> Points:
    """The methods that have both measures for all users of the row."""
    judge, found = _judge(table, row), {}
    for method in row.methods:
        x, y = (
            select.estimate(select.values(table, row.task, method, name, row.users), grid, row.users)
            for name in (metric, judge)
        )
        if x.n and y.n:
            found[method] = x, style.share(y)
    return found


def _limit(ax: Axes, points: list[Points]) -> None:
    """A range with all means and the oracle mixture's 1; intervals of few seeds are wide, and cut at the frame."""
    means = [x.mean for of in points for x, _ in of.values()] + [1.0]
    room = max(max(means) - min(means), 0.1) / 4
    ax.set_xlim(min(means) - room, max(means) + room)


def _panel(ax: Axes, grid: Grid, row: Row, points: Points, looks: dict[str, style.Look]) -> None:
    for reference, setting in SWEEPS.items() if row.variants else ():
        line = [points[m] for m in select.sweep(grid, reference, setting, points)]
        if len(line) > 2 and reference in points:
            ax.plot([x.mean for x, _ in line], [y.mean for _, y in line], color=style.FAINT, lw=0.7, alpha=0.6)
    for method, (x, y) in points.items():
        look = looks[method]
        face = "white" if method in row.variants else look["color"]
        style.errorbar(ax, x, y, label=method, markerfacecolor=face, markersize=3.6, **look)
    if not points:
        ax.text(0.5, 0.5, "not measured", transform=ax.transAxes, ha="center", color=style.FAINT)
    ax.axvline(1, color=style.FAINT, lw=0.6, linestyle=(0, (1, 1.5)), zorder=1)
    lowest = min((y.mean for _, y in points.values()), default=0.0)
    ax.set_ylim(max(0.0, math.floor(10 * lowest - 0.5) / 10) - 0.03 if row.variants else -0.03, 1.03)
    ax.locator_params(nbins=5)


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F2."""
    shown = rows(table, grid)
    tasks = list(dict.fromkeys(row.task for row in shown))
    methods = [method for method in select.ordered(grid) if any(method in row.methods for row in shown)]
    return report.caption(
        "Preference against diversity",
        "Diversity of all samples, of liked samples, and within one batch. Up and right is better; dotted: oracle "
        "mixture (middle: base).",
        "Open markers: ablations; lines join sweeps." if any(row.variants for row in shown) else "",
        report.scope(table, grid, tasks, methods, [user for row in shown for user in row.users]),
    )
