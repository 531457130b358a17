"""F10: what a served image costs by the number of images that are served, for each user, the rarer the later."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.figures import style
from papa.paper.served import KEPT, LEVEL, Place, Served, places

COLUMNS = 3
ALONG = np.unique(np.logspace(0, 4, 25).round().astype(int))


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F10 from the long table."""
    shown = places(table, grid)
    if not shown:
        return style.nothing("No run measured preference.")
    columns = min(COLUMNS, len(shown))
    lines = math.ceil(len(shown) / columns)
    drawn = style.figure(style.FULL * columns / COLUMNS, 1.9 * lines + 0.8)
    axes = drawn.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for ax, place in zip(axes.flat, shown, strict=False):
        for of in place.methods:
            _line(ax, grid, of)
        several = len({other.task for other in shown}) > 1
        ax.set_title(f"{place.task + ': ' if several else ''}{place.user}", loc="left")
        ax.text(
            0.98,
            0.97,
            f"base {place.rate.mean:.3f}\n{place.labels} labels",
            transform=ax.transAxes,
            ha="right",
            va="top",
        )
        ax.set_xscale("log")
        ax.set_yscale("log")
    for ax in axes[:, 0]:
        ax.set_ylabel("evaluations / image")
    for ax in axes.flat[len(shown) :]:
        ax.set_visible(False)
    for ax in axes.flat[max(0, len(shown) - columns) : len(shown)]:  # the lowest of each column
        ax.set_xlabel("images served")
        ax.tick_params(labelbottom=True)
    style.legend_below(drawn, *axes.flat, columns=5 if columns > 1 else 2, order=select.ordered(grid))
    return drawn


def _line(ax: Axes, grid: Grid, of: Served) -> None:
    """With its interval where the method reaches the level, broken where that is not sure; thin where it does not."""
    costs = [of.cost(int(images), grid) for images in ALONG]
    ink, means = style.colour(grid, of.method), [cost.mean for cost in costs]
    look: dict[str, Any] = (
        {"lw": 1.3, "alpha": 1.0, "linestyle": "-" if of.sure else (0, (4, 1.5))}
        if of.reaches
        else {"lw": 0.7, "alpha": 0.55, "linestyle": (0, (1, 2))}
    )
    marked: dict[str, Any] = {"color": ink, "marker": style.marker(grid, of.method), "markersize": 3}
    ax.plot(ALONG, means, markevery=8, **marked, **look)
    ax.plot([], [], lw=1.3, label=of.method, **marked)  # in the legend all are solid
    if of.reaches and all(np.isfinite(cost.half_width) for cost in costs):
        low, high = ([max(getattr(cost, end), 1e-3) for cost in costs] for end in ("lower", "upper"))
        ax.fill_between(ALONG, low, high, color=ink, alpha=0.18, lw=0)


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F10."""
    shown: list[Place] = places(table, grid)
    tasks = list(dict.fromkeys(place.task for place in shown))
    methods = [method for method in select.ordered(grid) if any(method == of.method for p in shown for of in p.methods)]
    return report.paragraph(
        "What a served image costs in evaluations of the denoiser, learning included and spread over all images that "
        f"are served. Thick: methods that reach a preference (gold) of {LEVEL:g} and keep {KEPT:g} of the base's "
        "distance within what is liked; among those the lowest line is ahead. Such a line is broken where the means "
        "reach that, but not both intervals. Dotted: methods that do not. A panel for each user and budget of labels, "
        "the rarer the like (the base's preference) the later.",
        report.quote(table, grid, tasks, methods, list(dict.fromkeys(place.user for place in shown))),
        report.unit_sentence(grid),
    )
