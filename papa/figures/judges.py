"""F9: the judge that gave the labels against one that no method ever queried, run by run."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from papa import report, views
from papa.figures import style
from papa.grid import Grid

MARGIN = 0.05
"""A held-out preference this far below the gold one counts as over-optimization."""


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F9 from the long table: one point per run."""
    tasks = views.preference_tasks(table)
    if not tasks:
        return style.nothing("No run measured preference.")
    drawn = style.figure(style.COLUMN * len(tasks), 3.5)
    for ax, task in zip(drawn.subplots(1, len(tasks), squeeze=False).flat, tasks, strict=True):
        ax.plot([0, 1], [0, 1], color=style.FAINT, lw=0.8)
        ax.fill_between([0, 1], [-MARGIN, 1 - MARGIN], [0, 1], color=style.FAINT, alpha=0.15, lw=0)
        main = views.main_methods(grid, task)
        for method in [*views.variant_methods(grid, task), *main]:
            gold, held = (
                views.values(table, task, method, metric) for metric in ("preference_gold", "preference_held_out")
            )
            both = pd.concat({"gold": gold, "held": held}, axis=1).dropna()
            ink, is_main = style.colour(grid, method), method in main
            look = {"s": 16 if is_main else 8, "color": ink if is_main else "none", "edgecolor": ink, "linewidth": 0.5}
            ax.scatter(
                both.gold,
                both.held,
                marker=style.marker(grid, method),
                label=method if is_main else "_",
                zorder=3,
                **look,
            )
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="preference, gold judge", title=task)
    drawn.axes[0].set_ylabel("preference, held-out judge")
    style.legend_below(drawn, drawn.axes[0], columns=4)
    return drawn


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F9."""
    tasks = views.preference_tasks(table)
    methods = [m for task in tasks for m in (*views.main_methods(grid, task), *views.variant_methods(grid, task))]
    users = [user for task in tasks for user in views.users_of(grid, task)]
    return report.paragraph(
        "Final preference under the judge that gave the labels (gold) against a judge of another family that no method "
        f"queried; one point per run, variants open. Below the band ({MARGIN}) a method over-optimizes the gold judge.",
        report.quote(table, grid, tasks, methods, users),
        report.diverged_sentence(table, tasks, methods),
    )
