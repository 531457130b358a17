"""F9: how much more the judge that gave the labels likes than those that no method ever queried."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.figures import style

PREFIX = "preference_"
MARGIN = 0.05
"""A held-out preference this far below the gold one counts as over-optimization."""
JUDGES = {"held_out": "held-out judge", "attributes": "classifier of true attributes"}
"""Judge -> what an axis calls it, where that is not its name."""


def panels(table: pd.DataFrame) -> list[tuple[str, str]]:
    """(task, judge) of every judge that was never queried, the held-out one first."""
    found = []
    for task in select.preference_tasks(table):
        metrics = table.loc[(table.task == task) & table.metric.str.startswith(PREFIX), "metric"].unique()
        names = sorted({metric.removeprefix(PREFIX) for metric in metrics} - {"gold"}, reverse=True)
        found += [(task, name) for name in sorted(names, key=lambda name: name != "held_out")]
    return found


def users(grid: Grid, task: str) -> list[str]:
    """Those who answer yes or no: a mean grade less another judge's share is no difference of judges."""
    return [user for user in select.users_of(grid, task) if not select.is_graded(grid, task, user)]


def differences(table: pd.DataFrame, grid: Grid, task: str, judge: str) -> dict[str, pd.Series]:
    """Method -> gold less the other judge's preference by (user, seed), in the one order of methods."""
    both = {*select.main_methods(grid, task), *select.variant_methods(grid, task)}
    found = {}
    for method in select.ordered(grid):
        if method in both:
            gold, other = (
                select.values(table, task, method, PREFIX + name, users(grid, task)) for name in ("gold", judge)
            )
            found[method] = (gold - other).dropna()
    return {method: values for method, values in found.items() if len(values)}


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F9 from the long table: a line per method, a dot per run."""
    shown = [(*panel, found) for panel in panels(table) if (found := differences(table, grid, *panel))]
    if not shown:
        return style.nothing("No run measured preference by a second judge.")
    lines = max(len(found) for *_, found in shown)
    drawn = style.figure(style.COLUMN * max(1, min(len(shown), 2)), 0.16 * lines + 0.8)
    reach = 1.08 * max(_reach(values, grid) for *_, found in shown for values in found.values())
    for ax, (task, judge, found) in zip(drawn.subplots(1, len(shown), squeeze=False).flat, shown, strict=True):
        _panel(ax, grid, task, found)
        ax.set_xlim(-reach, reach)
        ax.set_xlabel(f"share liked: gold judge −\n{JUDGES.get(judge, judge)}")
        ax.set_title(task)
    return drawn


def _reach(values: pd.Series, grid: Grid) -> float:
    """How far from 0 a method's runs, its interval and the margin lie."""
    mean = select.estimate(values, grid)
    return float(np.nanmax(np.abs([*values, mean.lower, mean.upper, MARGIN])))


def _panel(ax: Axes, grid: Grid, task: str, found: dict[str, pd.Series]) -> None:
    ax.axvline(0, color=style.FAINT, lw=0.8)
    ax.axvline(MARGIN, color=style.INK, lw=0.8, linestyle=(0, (4, 2)))
    main = select.main_methods(grid, task)
    for line, (method, values) in enumerate(found.items()):
        ink, mean = style.colour(grid, method), select.estimate(values, grid)
        ax.scatter(values, [line + 0.33] * len(values), s=5, color=ink, alpha=0.6, linewidth=0)
        ends = [mean.lower, mean.upper]
        ax.plot(ends, [line, line], color=ink, lw=1.2, alpha=0.6)
        look = {"marker": style.marker(grid, method), "color": ink, "markersize": 4}
        ax.plot([mean.mean], [line], markerfacecolor=ink if method in main else "white", **look)
    ax.set_yticks(range(len(found)), list(found))
    ax.set_ylim(len(found) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F9."""
    shown = [(task, differences(table, grid, task, judge)) for task, judge in panels(table)]
    tasks = [task for task in select.preference_tasks(table) if any(of == task and found for of, found in shown)]
    methods = [method for method in select.ordered(grid) if any(method in found for _, found in shown)]
    return report.paragraph(
        "What the judge that gave the labels (gold) counts as liked among the final samples, less what judges of "
        "another kind that no method queried count. A dot is a run; the marker above it is the mean, users averaged "
        f"within a seed, with its interval; variants are open. Right of the dashed line ({MARGIN}) a method "
        "over-optimizes the gold judge; none here follows its gradient, so this is a check of the judges (what a "
        "surrogate is exploited for: F5). Users who answer with grades have no share to compare and are left out.",
        report.quote(table, grid, tasks, methods, [user for task in tasks for user in users(grid, task)]),
        report.unit_sentence(grid),
        report.diverged_sentence(table, tasks, methods),
    )
