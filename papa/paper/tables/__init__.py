"""The tables: one line each, made from the long table alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from papa.benchmark.grid import Grid
from papa.files import write_atomic
from papa.paper import report, select
from papa.registry import find

TABLES: dict[str, str] = {
    "T1": "papa.paper.tables.alignment:make",
    "T2": "papa.paper.tables.alignment:prompted",
    "T3": "papa.paper.tables.cost:make",
    "T4": "papa.paper.tables.ablations:make",
    "T5": "papa.paper.tables.feedback:make",
    "T6": "papa.paper.tables.personal:make",
    "T7": "papa.paper.tables.ledger:make",
    "T8": "papa.paper.tables.cheapest:make",
    "T9": "papa.paper.tables.aggregates:make",
}


@dataclass(frozen=True)
class Made:
    """A finished table.

    Attributes:
        frame: raw values, tidy, one row per estimate.
        markdown: the readable form.
        caption: a title, what is shown, and what was run.
    """

    frame: pd.DataFrame
    markdown: str
    caption: str


def make(name: str, table: pd.DataFrame, grid: Grid) -> Made:
    """Make a table from the long table.

    Raises:
        SettingsError: for an unknown name.
        RecordError: for a long table that lacks columns or has duplicate measurements.
    """
    made: Made = find("table", TABLES, name)(select.check(table), grid)
    return made


def write(name: str, table: pd.DataFrame, grid: Grid, folder: Path) -> list[Path]:
    """Write a table as CSV, as Markdown with its caption, and the caption alone for the report.

    Returns:
        The paths `<name>.csv`, `.md` and `.rst` in `folder`.

    Raises:
        SettingsError, RecordError: as `make`.
    """
    made = make(name, table, grid)
    caption = made.caption if len(made.frame) else f"{made.caption.split('.')[0]}. {report.EMPTY}\n"
    return [
        report.write_csv(folder / f"{name}.csv", made.frame),
        write_atomic(folder / f"{name}.md", f"**{name}.** {caption}\n{made.markdown}"),
        write_atomic(folder / f"{name}.rst", caption),
    ]
