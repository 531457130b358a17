"""F3: what the base draws and what each method draws after a user's labels, side by side.

Reads the stored samples of one seed. The same place in two grids is the same index, hence the same
starting noise for the methods that sample one item from one noise.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.figures import style
from papa.paper.stored import samples

SIDE = 4
"""Images per row and per column of a grid."""
GREY = 215


def montage(images: np.ndarray, side: int = SIDE, gap: int = 1) -> np.ndarray:
    """The first side² images as one, with grey lines between them.

    Args:    images: (n, C, H, W) uint8, C = 1 (bright strokes on black) or 3.
    Returns: (h, w, 3) uint8. Grey images are inverted, to ink on paper; missing ones are grey.
    """
    images = images[: side * side]
    _, channels, height, width = images.shape
    canvas = np.full((side * (height + gap) + gap, side * (width + gap) + gap, 3), GREY, np.uint8)
    for index, image in enumerate(images):
        row, column = divmod(index, side)
        tile = 255 - np.repeat(image, 3, axis=0) if channels == 1 else image
        top, left = gap + row * (height + gap), gap + column * (width + gap)
        canvas[top : top + height, left : left + width] = tile.transpose(1, 2, 0)
    return canvas


def seed_of(table: pd.DataFrame, task: str) -> int | None:
    """The seed that is shown: the lowest that ran."""
    seeds = select.seeds_of(table, [task], list(table.method.unique()))
    return seeds[0] if seeds else None


def shown_methods(grid: Grid, task: str) -> list[str]:
    """The columns: the base first, then every compared method that draws samples of its own."""
    return [m for m in select.main_methods(grid, task) if grid.methods[m].declaration.draws != "picked"]


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F3 from the long table and the stored samples."""
    rows = [(task, user) for task in select.preference_tasks(table) for user in select.users_of(grid, task)]
    if not rows:
        return style.nothing("No run measured preference.")
    columns = max(len(shown_methods(grid, task)) for task, _ in rows)
    width = style.FULL / max(columns, 4)
    drawn = style.figure(width * columns, (0.94 * width + 0.2) * len(rows) + 0.2)
    axes = drawn.subplots(len(rows), columns, squeeze=False)
    for (task, user), row in zip(rows, axes, strict=True):
        for ax in row:
            ax.set_axis_off()
        for ax, method in zip(row, shown_methods(grid, task), strict=False):
            _cell(ax, table, grid, task, user, method)
            if ax in axes[0]:
                ax.set_title(
                    f"{method} (before)" if method == select.BASE else method, color=style.colour(grid, method)
                )
        row[0].text(-0.06, 0.5, user, transform=row[0].transAxes, rotation=90, ha="right", va="center", weight="bold")
    return drawn


def _cell(ax: Axes, table: pd.DataFrame, grid: Grid, task: str, user: str, method: str) -> None:
    seed = seed_of(table, task)
    images = None if seed is None else samples(grid, task, method, user, seed)
    if images is None or images.ndim != 4 or len(images) == 0:
        ax.text(0.5, 0.5, "not run", ha="center", va="center", color=style.FAINT, transform=ax.transAxes)
        return
    ax.imshow(montage(images))  # not smoothed, unless the image has more pixels than its place in the figure
    liked = select.values(table, task, method, "preference_gold", [user]).get((user, seed))
    if liked is not None:
        ax.text(
            0.5,
            -0.03,
            f"{liked:.0%} liked",
            transform=ax.transAxes,
            ha="center",
            va="top",
            color=style.INK,
            fontsize=6.5,
        )


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F3."""
    tasks = select.preference_tasks(table)
    methods = list(dict.fromkeys(m for task in tasks for m in shown_methods(grid, task)))
    users = [user for task in tasks for user in select.users_of(grid, task)]
    seeds = [f"seed {seed_of(table, task)} ({task})" for task in tasks]
    return report.paragraph(
        f"The first {SIDE * SIDE} samples before (base) and after alignment, unselected; {', '.join(seeds)}. "
        "The same place has the same index, for the base and the fine-tuned methods the same starting noise. A "
        "particle method's samples are dealt out from its populations in turn, so these come from as many populations "
        "as there are. Below each grid the share of all final samples that the gold judge counts as liked.",
        report.quote(table, grid, tasks, methods, users),
    )
