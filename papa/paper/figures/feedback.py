"""F6: preference against the number of labels, and against the form and the noise of the answers."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.feedback import SAID, Line, lines, value_said
from papa.paper.figures import style
from papa.paper.tables.feedback import NOTHING

COLUMNS = 3


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F6 from the long table."""
    groups: dict[tuple[str, str, str], list[Line]] = {}
    for of in lines(table, grid):
        groups.setdefault((of.task, of.user, of.by), []).append(of)
    if not groups:
        return style.nothing(NOTHING)
    columns = min(COLUMNS, len(groups))
    height = math.ceil(len(groups) / columns)
    drawn = style.figure(style.FULL * columns / COLUMNS, 2.0 * height + 0.5)
    axes = drawn.subplots(height, columns, squeeze=False, sharey=True)
    for ax, ((task, user, by), found) in zip(axes.flat, groups.items(), strict=False):
        for of in found:
            look = {"color": style.colour(grid, of.method), "marker": style.marker(grid, of.method), "markersize": 3.4}
            look |= {"linestyle": "none"} if by == "answers" else {}  # there is nothing between a grade and a pair
            values = list(of.points)
            style.series(ax, values, [style.share(e) for _, e in of.points.values()], label=of.method, **look)
        _ticks(ax, by, sorted({value for of in found for value in of.points}))
        ax.set_title(f"{task}: {user}", loc="left")
        ax.set_xlabel(SAID[by])
        ax.set_ylim(-0.02, 1.02)
    for ax in axes[:, 0]:
        ax.set_ylabel("preference (gold judge)")
    for ax in axes.flat[len(groups) :]:
        ax.set_visible(False)
    style.legend_below(drawn, *axes.flat, columns=5 if columns > 1 else 2, order=select.ordered(grid))
    return drawn


def _ticks(ax: Axes, by: str, values: list[float]) -> None:
    """A tick for each number of labels, or form of the answers; shares of noise have matplotlib's."""
    if by == "labels":
        ax.set_xscale("log", base=2)
    if by in ("labels", "answers"):
        ax.set_xticks(values, [value_said(by, value) for value in values])
        ax.xaxis.set_minor_locator(NullLocator())


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F6."""
    if not (found := list(lines(table, grid))):
        return NOTHING
    tasks = list(dict.fromkeys(of.task for of in found))
    named = {label for of in found if of.by == "labels" for label, _ in of.points.values()}
    methods = [method for method in select.ordered(grid) if method in named | {of.method for of in found}]
    return report.paragraph(
        "Preference when all labels are spent, by how many there are, and by the form and the noise of the answers "
        "that a method learns from; what is measured is the taste itself. Methods with other numbers of labels differ "
        "in nothing else. Intervals are cut at 0 and 1.",
        report.quote(table, grid, tasks, methods, list(dict.fromkeys(of.user for of in found))),
        report.unit_sentence(grid),
    )
