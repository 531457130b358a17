"""F6: preference against the number of labels, and against the form and the noise of the answers."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from papa.benchmark.grid import Grid
from papa.paper.feedback import NAMES, caption, grouped, value_name
from papa.paper.figures import style

__all__ = ["caption", "draw"]
COLUMNS = 3


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F6 from the long table."""
    groups, looks = grouped(table, grid), style.looks(grid)
    columns = min(COLUMNS, len(groups))
    rows = math.ceil(len(groups) / columns)
    made = style.figure(style.FULL * columns / COLUMNS, 2.0 * rows)
    axes = made.subplots(rows, columns, squeeze=False, sharey=True)
    for ax, ((task, user, by), lines) in zip(axes.flat, groups.items(), strict=False):
        for of in lines:
            look = {**looks[of.method], "markersize": 3.4, **({"linestyle": "none"} if by == "answers" else {})}
            style.series(ax, list(of.points), [style.share(e) for _, e in of.points.values()], label=of.method, **look)
        _ticks(ax, by, sorted({value for of in lines for value in of.points}))
        ax.set_title(f"{task}: {user}", loc="left")
        ax.set_xlabel(NAMES[by])
        ax.set_ylim(-0.02, 1.02)
    for ax in axes[:, 0]:
        ax.set_ylabel("preference (gold)")
    for ax in axes.flat[len(groups) :]:
        ax.set_visible(False)
    style.legend_below(made, axes.flat, 5 if columns > 1 else 2)
    return made


def _ticks(ax: Axes, by: str, values: list[float]) -> None:
    """A tick for each number of labels or form of the answers; Matplotlib's own for shares."""
    if by == "labels":
        ax.set_xscale("log", base=2)
    if by in ("labels", "answers"):
        ax.set_xticks(values, [value_name(by, value) for value in values])
        ax.xaxis.set_minor_locator(NullLocator())
