"""The figures: one line each, made from the long table and the stored samples alone.

A module of a figure has `draw(table, grid)`, which returns a Matplotlib figure, and `caption(table, grid)`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from papa.benchmark.grid import Grid
from papa.files import write_atomic
from papa.paper import report, select
from papa.registry import find, load, module_of

TEXT_TO_IMAGE = "-t2i"
"""Suffix of a figure of the text-to-image tasks; the figure without it then shows the others."""

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
}


def part(name: str, table: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """The rows of the long table that a figure shows: all of them, unless another figure shows its other tasks."""
    if name.endswith(TEXT_TO_IMAGE):
        return table[select.prompted_rows(table, grid)]
    return table[~select.prompted_rows(table, grid)] if name + TEXT_TO_IMAGE in FIGURES else table


def plot(name: str, table: pd.DataFrame, grid: Grid, folder: Path) -> list[Path]:
    """Draw a figure and write it as PNG and PDF, with its caption for the report.

    Without runs its files are written all the same and say so.

    Returns:
        The paths `<name>.png`, `.pdf` and `.rst` in `folder`.

    Raises:
        SettingsError: for an unknown name.
        RecordError: for a long table that lacks columns, or samples that cannot be read.
    """
    draw = find("figure", FIGURES, name)
    from papa.paper.figures import style  # Matplotlib takes a while to import
    from papa.paper.shown import has_runs

    table = part(name, select.check(table), grid)
    if not has_runs(name, grid) or (table.empty and name != "F8"):  # F8 shows the study of personal models
        with style.paper():
            paths = style.save(style.nothing(report.EMPTY), folder / name)
        return [*paths, write_atomic(folder / f"{name}.rst", report.EMPTY + "\n")]
    caption = load(f"{module_of(FIGURES[name])}:caption")
    with style.paper():
        paths = style.save(draw(table, grid), folder / name)
    return [*paths, write_atomic(folder / f"{name}.rst", caption(table, grid))]
