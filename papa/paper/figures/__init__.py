"""The figures: one file and one line each, made from the long table and the stored samples alone.

A module of a figure has `draw(table, grid)`, the Matplotlib figure, and `caption(table, grid)`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from papa.benchmark.grid import Grid
from papa.files import write_atomic
from papa.paper import select
from papa.registry import find, load, module_of

TEXT_TO_IMAGE = "-t2i"
"""Suffix of a figure that shows the text-to-image tasks; the figure without it then shows the others."""

FIGURES: dict[str, str] = {
    "F1": "papa.paper.figures.labels:draw",
    "F1-t2i": "papa.paper.figures.labels:draw",
    "F2": "papa.paper.figures.pareto:draw",
    "F2-t2i": "papa.paper.figures.pareto:draw",
    "F3": "papa.paper.figures.samples:draw",
    "F3-t2i": "papa.paper.figures.samples:draw",
    "F4": "papa.paper.figures.truncation:draw",
    "F5": "papa.paper.figures.temperature:draw",
    "F5-t2i": "papa.paper.figures.temperature:draw",
    "F6": "papa.paper.figures.feedback:draw",
    "F7": "papa.paper.figures.particles:draw",
    "F8": "papa.paper.figures.personal:draw",
    "F9": "papa.paper.figures.judges:draw",
    "F9-t2i": "papa.paper.figures.judges:draw",
    "F10": "papa.paper.figures.map:draw",
    "F10-t2i": "papa.paper.figures.map:draw",
}


def part(name: str, table: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """The rows of the long table that a figure shows: all of them, unless another figure shows its other tasks."""
    if name.endswith(TEXT_TO_IMAGE):
        return table[select.prompted_rows(table, grid)]
    return table[~select.prompted_rows(table, grid)] if name + TEXT_TO_IMAGE in FIGURES else table


def plot(name: str, table: pd.DataFrame, grid: Grid, folder: Path) -> list[Path]:
    """Draw a figure and write it as PNG and PDF, with its caption for the report.

    If nothing ran for a figure, its files are written all the same and say so.

    Returns: the paths `<name>.png`, `.pdf` and `.rst` in `folder`.
    Raises:  SettingsError for an unknown name, RecordError for a long table that is not one or for
             samples that cannot be read, OSError.
    """
    draw = find("figure", FIGURES, name)
    from papa.paper.figures import style  # Matplotlib takes a while to import

    table = part(name, select.check(table), grid)
    caption = load(f"{module_of(FIGURES[name])}:caption")
    with style.paper():
        paths = style.save(draw(table, grid), Path(folder) / name)
    return [*paths, write_atomic(Path(folder) / f"{name}.rst", caption(table, grid))]
