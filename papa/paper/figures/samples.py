"""F3: samples of the base and of every aligned model side by side, with liked ones framed.

Reads the stored samples of one seed and queries the simulated user about those that are shown. Equal places in two
grids are equal indices, hence equal starting noise for methods that sample one item from one noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.figures import style
from papa.paper.select import samples

SIDE = 4
"""Images per row and per column of a grid."""
MOST = 10
"""Grids in a row; more methods are split over equally long rows."""
GREY = 225
LIKED = 0.5
"""An answer above this counts as liked."""
FRAME = style.BLUE

Verdict = Callable[[Any], np.ndarray]
"""(n, C, H, W) images in [-1, 1] -> (n,) noiseless answers: 0 or 1, or grades in [0, 1]."""


def shown_methods(table: pd.DataFrame, grid: Grid, task: str) -> list[str]:
    """The columns: the base first, then every compared method that ran."""
    ran = set(table.loc[table.task == task, "method"])
    return [method for method in select.main_methods(grid, task) if method in ran]


def parts(methods: list[str]) -> list[list[str]]:
    """The methods row by row."""
    each = -(-len(methods) // max(1, -(-len(methods) // MOST)))
    return [methods[start : start + each] for start in range(0, len(methods), each)]


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
    """The lowest seed that ran."""
    seeds = select.seeds_of(table, [task], list(table.method.unique()))
    return seeds[0] if seeds else None


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F3 from the long table, the stored samples and the users."""
    users = [(task, user) for task in select.preference_tasks(table) for user in select.users_of(grid, task)]
    rows = [(task, user, part) for task, user in users for part in parts(shown_methods(table, grid, task))]
    columns, wrapped = max(len(part) for *_, part in rows), len(rows) > len(users)
    width = style.FULL / max(columns, 4)
    drawn = style.figure(width * columns, (0.94 * width + 0.2 + 0.15 * wrapped) * len(rows) + 0.2)
    axes = drawn.subplots(len(rows), columns, squeeze=False)
    verdicts, looks = _verdicts(grid, users), style.looks(grid)
    longest = max(len(method) for *_, part in rows for method in part)
    size = min(6.5, 72 * width / (0.65 * longest))  # a bold letter is about 0.65 of its size wide
    for (task, user, part), row in zip(rows, axes, strict=True):
        for ax in row:
            ax.set_axis_off()
        for ax, method in zip(row, part, strict=False):
            _cell(ax, table, grid, (task, method, user), verdicts[task, user])
            if wrapped or ax in axes[0]:
                ax.set_title(method, color=style.darker(looks[method]["color"]), fontsize=size)
        row[0].text(-0.06, 0.5, user, transform=row[0].transAxes, rotation=90, ha="right", va="center", weight="bold")
    return drawn


def _verdicts(grid: Grid, rows: list[tuple[str, str]]) -> dict[tuple[str, str], Verdict]:
    """(task, user) -> the simulated user's answers; a task is loaded once."""
    from papa.benchmark.users import user_of  # takes two seconds, and tables do not need it

    specs = {(task, user): next(s for s in grid if (s.task, s.user) == (task, user)) for task, user in rows}
    tasks = {spec.task: spec.of for spec in specs.values()}
    loaded = {label: of.declaration.load()(of.settings) for label, of in tasks.items()}
    users = {key: user_of(spec.who) for key, spec in specs.items()}
    for (task, _), user in users.items():
        user.calibrate(loaded[task])
    return {key: user.verdict for key, user in users.items()}


def _cell(ax: Axes, table: pd.DataFrame, grid: Grid, run: tuple[str, str, str], verdict: Verdict) -> None:
    """The samples of a run, (task, method, user)."""
    task, method, user = run
    seed = seed_of(table, task)
    images = None if seed is None else samples(grid, *run, seed)
    if images is None or images.ndim != 4 or len(images) == 0:
        ax.text(0.5, 0.5, "not run", ha="center", va="center", color=style.FAINT, transform=ax.transAxes)
        return
    gap = max(2, images.shape[-1] // 6)  # room for two frames
    ax.imshow(montage(images, gap=gap))  # not smoothed unless it is shrunk
    _frame(ax, images[: SIDE * SIDE], gap, verdict)
    found = select.values(table, task, method, "preference_gold", [user]).get((user, seed))
    if found is not None:
        graded = select.is_graded(grid, task, user)
        text = f"{report.preference_name(grid, task, user)} {found:.2f}" if graded else f"{found:.0%} liked"
        ax.text(0.5, -0.03, text, transform=ax.transAxes, ha="center", va="top", color=style.INK, fontsize=6.5)


def _frame(ax: Axes, images: np.ndarray, gap: int, verdict: Verdict) -> None:
    """A frame around each liked image, inside the grey lines."""
    import torch

    answers = verdict(torch.from_numpy(images).float() / 127.5 - 1)  # as `Model.unpack`, without loading a model
    (height, width), off = images.shape[2:], 0.2 * gap
    for index in np.flatnonzero(answers > LIKED):
        row, column = divmod(int(index), SIDE)
        left, top = (gap + place * (size + gap) - 0.5 - off for place, size in ((column, width), (row, height)))
        look = {"fill": False, "edgecolor": FRAME, "linewidth": 0.9}
        ax.add_patch(Rectangle((left, top), width + 2 * off, height + 2 * off, **look))


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F3."""
    tasks = select.preference_tasks(table)
    methods = list(dict.fromkeys(m for task in tasks for m in shown_methods(table, grid, task)))
    users = [user for task in tasks for user in select.users_of(grid, task)]
    seeds = ", ".join(f"{seed_of(table, task)} ({task})" for task in tasks)
    return report.caption(
        "Samples before and after alignment",
        f"The first {SIDE * SIDE} samples, unselected; seed {seeds}. Framed: liked by the gold judge (grades above "
        f"{LIKED:g}). Below: share of all final samples. Equal places of base and fine-tuned methods have equal noise.",
        report.scope(table, grid, tasks, methods, users),
    )
