"""F9: the judge that gave the labels against those that no method ever queried, run by run."""

from __future__ import annotations

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


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F9 from the long table: one point per run."""
    shown = panels(table)
    if not shown:
        return style.nothing("No run measured preference by a second judge.")
    drawn = style.figure(style.COLUMN * len(shown), 4.2)
    for ax, (task, judge) in zip(drawn.subplots(1, len(shown), squeeze=False).flat, shown, strict=True):
        _panel(ax, table, grid, task, judge)
    style.legend_below(drawn, drawn.axes[0], columns=4 * min(2, len(shown)))
    return drawn


def _panel(ax: Axes, table: pd.DataFrame, grid: Grid, task: str, judge: str) -> None:
    ax.plot([0, 1], [0, 1], color=style.FAINT, lw=0.8)
    ax.fill_between([0, 1], [-MARGIN, 1 - MARGIN], [0, 1], color=style.FAINT, alpha=0.15, lw=0)
    main = select.main_methods(grid, task)
    for method in [*select.variant_methods(grid, task), *main]:
        gold, other = (select.values(table, task, method, PREFIX + name) for name in ("gold", judge))
        both = pd.concat({"gold": gold, "other": other}, axis=1).dropna()
        ink, is_main = style.colour(grid, method), method in main
        look = {"s": 16 if is_main else 8, "color": ink if is_main else "none", "edgecolor": ink, "linewidth": 0.5}
        label = method if is_main else "_"
        ax.scatter(both.gold, both.other, marker=style.marker(grid, method), label=label, zorder=3, **look)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="preference, gold judge", title=task)
    ax.set_ylabel(f"preference, {JUDGES.get(judge, judge)}")


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F9."""
    tasks = select.preference_tasks(table)
    methods = [m for task in tasks for m in (*select.main_methods(grid, task), *select.variant_methods(grid, task))]
    users = [user for task in tasks for user in select.users_of(grid, task)]
    return report.paragraph(
        "Final preference under the judge that gave the labels (gold) against judges of another kind that no method "
        f"queried; one point per run, variants open. Below the band ({MARGIN}) a method over-optimizes the gold "
        "judge; none here follows its gradient, so this is a check of the judges (what a surrogate is exploited "
        "for: F5).",
        report.quote(table, grid, tasks, methods, users),
        report.diverged_sentence(table, tasks, methods),
    )
