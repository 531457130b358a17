"""F1: preference against the labels that it took, one panel per user."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from papa.benchmark.grid import Grid
from papa.paper import report, select, stats
from papa.paper.figures import style

METRIC = "preference_gold"


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F1 from the long table."""
    panels = [(task, user) for task in select.preference_tasks(table) for user in select.users_of(grid, task)]
    if not panels:
        return style.nothing("No run measured preference.")
    columns = len(panels) if len(panels) <= 4 else 3
    rows = -(-len(panels) // columns)
    drawn = style.figure(max(style.COLUMN, min(style.FULL, style.FULL * columns / 3)), 2.1 * rows + 0.5)
    axes = drawn.subplots(rows, columns, sharey=True, squeeze=False)
    for ax, (task, user) in zip(axes.flat, panels, strict=False):
        for method in select.main_methods(grid, task):
            _curve(ax, table, grid, task, user, method)
        ax.set_title(user)
        ax.set_xlabel("labels")
        ax.set_ylim(0, 1)
        ax.margins(x=0.02)
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("preference (gold judge)")
    fullest = max(axes.flat, key=lambda ax: len(ax.get_legend_handles_labels()[1]))
    style.legend_below(drawn, fullest, columns=min(8, max(3, 3 * columns - 1)))
    return drawn


def _curve(ax, table: pd.DataFrame, grid: Grid, task: str, user: str, method: str) -> None:  # type: ignore[no-untyped-def]
    found = select.curves(table, task, method, METRIC, user)
    colour, confidence = style.colour(grid, method), grid.config.confidence
    if method == select.BASE:
        level = select.estimate(select.values(table, task, method, METRIC, [user]), grid)
        if level.n:
            ax.axhline(level.mean, color=colour, linestyle=(0, (4, 2)), linewidth=1, label=method)
        return
    found = found.dropna(how="all")
    if found.empty:
        return
    settings = grid.methods[method].settings
    labels = np.minimum(found.index.to_numpy(dtype=float) * settings.per_round, settings.labels)
    ys = [stats.estimate(row.dropna().to_numpy(), confidence) for _, row in found.iterrows()]
    mark = style.marker(grid, method)
    style.line_with_band(
        ax, list(labels), ys, color=colour, marker=mark, markevery=max(1, len(ys) // 5), markersize=3, label=method
    )


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F1."""
    tasks = select.preference_tasks(table)
    methods = [method for task in tasks for method in select.main_methods(grid, task)]
    users = [user for task in tasks for user in select.users_of(grid, task)]
    return report.paragraph(
        "Preference against labels: share of samples that the labelling (gold) judge counts as liked, after every "
        "round; bands are intervals over seeds, the dashed line is the base model.",
        report.quote(table, grid, tasks, methods, users),
        f"Per round: {report.samples(grid, tasks, 'per_round')} samples; the last point uses the final ones.",
        report.unit_sentence(grid),
        report.diverged_sentence(table, tasks, methods),
    )
