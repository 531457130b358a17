"""F9: preference by the judge behind the labels, minus preference by judges that no method queried."""

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
"""Judge -> its name on an axis."""


def panels(table: pd.DataFrame) -> list[tuple[str, str]]:
    """(task, judge) of every judge that was never queried, the held-out one first."""
    found = []
    for task in select.preference_tasks(table):
        metrics = table.loc[(table.task == task) & table.metric.str.startswith(PREFIX), "metric"].unique()
        names = sorted({metric.removeprefix(PREFIX) for metric in metrics} - {"gold"})
        found += [(task, name) for name in sorted(names, key=lambda name: name != "held_out")]
    return found


def users(grid: Grid, task: str) -> list[str]:
    """Users who answer yes or no: a mean grade minus another judge's share is no difference of judges."""
    return [user for user in select.users_of(grid, task) if not select.is_graded(grid, task, user)]


def differences(table: pd.DataFrame, grid: Grid, task: str, judge: str) -> dict[str, pd.Series]:
    """Method -> gold minus the other judge's preference by (user, seed), in the one order of methods."""
    both = {*select.main_methods(grid, task), *select.variant_methods(grid, task)}
    found = {}
    for method in (label for label in select.ordered(grid) if label in both):
        gold, other = (select.values(table, task, method, PREFIX + name, users(grid, task)) for name in ("gold", judge))
        found[method] = (gold - other).dropna()
    return {method: values for method, values in found.items() if len(values)}


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F9 from the long table: a line per method, a dot per run."""
    shown = [(*panel, found) for panel in panels(table) if (found := differences(table, grid, *panel))]
    if not shown:
        return style.nothing("No second judge was measured.")
    lines = max(len(found) for *_, found in shown)
    made = style.figure(style.COLUMN * max(1, min(len(shown), 2)), 0.16 * lines + 0.8)
    reach = 1.08 * max(_reach(values, grid) for *_, found in shown for values in found.values())
    for ax, (task, judge, found) in zip(made.subplots(1, len(shown), squeeze=False).flat, shown, strict=True):
        _panel(ax, grid, task, found)
        ax.set_xlim(-reach, reach)
        ax.set_xlabel(f"share liked: gold judge −\n{JUDGES.get(judge, judge)}")
        ax.set_title(task)
    return made


def _reach(values: pd.Series, grid: Grid) -> float:
    """The largest distance from 0 of runs, interval and margin."""
    mean = select.estimate(values, grid)
    return float(np.nanmax(np.abs([*values, mean.lower, mean.upper, MARGIN])))


def _panel(ax: Axes, grid: Grid, task: str, found: dict[str, pd.Series]) -> None:
    ax.axvline(0, color=style.FAINT, lw=0.8)
    ax.axvline(MARGIN, color=style.INK, lw=0.8, linestyle=(0, (4, 2)))
    main, looks = select.main_methods(grid, task), style.looks(grid)
    for line, (method, values) in enumerate(found.items()):
        look = looks[method]
        ax.scatter(values, [line + 0.33] * len(values), s=5, color=look["color"], alpha=0.6, linewidth=0)
        face = look["color"] if method in main else "white"
        mean = select.estimate(values, grid)
        ax.plot([mean.lower, mean.upper], [line, line], color=look["color"], lw=1.2, alpha=0.6)
        ax.plot([mean.mean], [line], markerfacecolor=face, markersize=4, **look)
    ax.set_yticks(range(len(found)), list(found))
    ax.set_ylim(len(found) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F9."""
    shown = [(task, differences(table, grid, task, judge)) for task, judge in panels(table)]
    tasks = list(dict.fromkeys(task for task, found in shown if found))
    methods = [method for method in select.ordered(grid) if any(method in found for _, found in shown)]
    return report.caption(
        "Over-optimization of the gold judge",
        "Preference by the gold judge minus that by an independent one. Dots: runs; markers: means with intervals, "
        f"open for ablations; right of the dashed line ({MARGIN}) a method over-optimizes.",
        report.scope(table, grid, tasks, methods, [user for task in tasks for user in users(grid, task)]),
    )
