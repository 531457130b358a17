"""F3: what the base draws and what each method draws after a user's labels, side by side, with what is liked framed.

Reads the stored samples of one seed, and asks the user again about those that are shown. The same place in two grids is
the same index, hence the same starting noise for the methods that sample one item from one noise.
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
from papa.paper.stored import samples

SIDE = 4
"""Images per row and per column of a grid."""
MOST = 10
"""Grids beside each other; more methods than that stand in rows below, equally many in each."""
GREY = 225
LIKED = 0.5
"""An answer above this is a like, and gets a frame."""
FRAME = style.COLOURS["papa"][0]

Verdict = Callable[[Any], np.ndarray]
"""(n, C, H, W) images in [-1, 1] -> (n,) what a user says of them, without noise: 0 or 1, or graded in [0, 1]."""


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
    """The seed that is shown: the lowest that ran."""
    seeds = select.seeds_of(table, [task], list(table.method.unique()))
    return seeds[0] if seeds else None


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F3 from the long table, the stored samples and the users."""
    users = [(task, user) for task in select.preference_tasks(table) for user in select.users_of(grid, task)]
    if not users:
        return style.nothing("No run measured preference.")
    rows = [(task, user, part) for task, user in users for part in parts(shown_methods(table, grid, task))]
    columns, wrapped = max(len(part) for *_, part in rows), len(rows) > len(users)
    width = style.FULL / max(columns, 4)
    drawn = style.figure(width * columns, (0.94 * width + 0.2 + 0.15 * wrapped) * len(rows) + 0.2)
    axes = drawn.subplots(len(rows), columns, squeeze=False)
    verdicts = _verdicts(grid, users)
    longest = max(len(method) for *_, part in rows for method in part)
    size = min(6.5, 72 * width / (0.65 * longest))  # a bold letter is about 0.65 of its size wide
    for (task, user, part), row in zip(rows, axes, strict=True):
        for ax in row:
            ax.set_axis_off()
        for ax, method in zip(row, part, strict=False):
            _cell(ax, table, grid, (task, method, user), verdicts[task, user])
            if wrapped or ax in axes[0]:
                ax.set_title(method, color=style.darker(style.colour(grid, method)), fontsize=size)
        row[0].text(-0.06, 0.5, user, transform=row[0].transAxes, rotation=90, ha="right", va="center", weight="bold")
    return drawn


def _verdicts(grid: Grid, rows: list[tuple[str, str]]) -> dict[tuple[str, str], Verdict]:
    """(task, user) -> the user, who can be asked again; a task is loaded once."""
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
    gap = max(2, images.shape[-1] // 6)  # two frames stand in it
    ax.imshow(montage(images, gap=gap))  # not smoothed, unless the image has more pixels than its place in the figure
    _frame(ax, images[: SIDE * SIDE], gap, verdict)
    found = select.values(table, task, method, "preference_gold", [user]).get((user, seed))
    if found is not None:
        graded = select.is_graded(grid, task, user)
        text = f"{report.liked(grid, task, user)} {found:.2f}" if graded else f"{found:.0%} liked"
        ax.text(0.5, -0.03, text, transform=ax.transAxes, ha="center", va="top", color=style.INK, fontsize=6.5)


def _frame(ax: Axes, images: np.ndarray, gap: int, verdict: Verdict) -> None:
    """A frame around each image that is liked, inside the grey lines, so that those of neighbours stand apart."""
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
    graded = [user for task in tasks for user in select.users_of(grid, task) if select.is_graded(grid, task, user)]
    seeds = [f"seed {seed_of(table, task)} ({task})" for task in tasks]
    return report.paragraph(
        f"The first {SIDE * SIDE} samples before (base) and after alignment, unselected; {', '.join(seeds)}. Framed "
        "is what the gold judge, who gave the labels, counts as liked"
        + (f" (of {', '.join(graded)} what has a grade above {LIKED:g})" if graded else "")
        + ", and below each grid stands the share of all final samples that is. "
        "The same place has the same index, for the base and the fine-tuned methods the same starting noise. Best of "
        "n and its like pick among base samples. A particle method's samples are dealt out from its populations in "
        "turn, so these come from as many populations as there are.",
        report.graded_sentence(grid, tasks),
        report.quote(table, grid, tasks, methods, users),
    )
