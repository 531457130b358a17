"""Reference results: the tables, claims and figures of a whole run, committed with what they were made on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from papa.benchmark.grid import Grid
from papa.errors import RecordError
from papa.files import write_atomic
from papa.paper import cells, select
from papa.paper.summary import summary

FOLDER = Path("reference")
CELLS, ABOUT, SUMMARY = "cells.csv", "about.json", "README.md"


def place_of(config: str | Path) -> Path:
    """Where the reference results of a configuration file lie."""
    return FOLDER / Path(config).stem


def write(table: pd.DataFrame, grid: Grid, config: str, machine: dict[str, Any], folder: Path) -> Path:
    """Copy the tables, claims and figures of a finished experiment, with its cells, a summary and what it was made on.

    Raises:  RecordError where a table or figure of it is missing.
    """
    results, figures = Path(grid.config.results), Path(grid.config.figures)
    files = [*sorted((results / "tables").glob("*.md")), *results.glob("claims.*"), *sorted(figures.glob("*.png"))]
    if not files or not (results / "claims.json").is_file():
        raise RecordError(f"{results} has no finished tables and claims; run `snakemake --cores all` first.")
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)
    cells.write(cells.cells(table, grid), folder / CELLS)
    claims = json.loads((results / "claims.json").read_text(encoding="utf-8"))
    write_atomic(folder / SUMMARY, summary(select.check(table), grid, claims))
    seconds = table.loc[(table.metric == "seconds") & (table.stage == "final"), "value"].sum()
    about = {
        "configuration": config,
        "root_seed": grid.config.root_seed,
        "runs": len(grid),
        "made": table.attrs.get("about", ""),
        "machine": machine,
        "seconds_of_learning": round(float(seconds)),
    }
    write_atomic(folder / ABOUT, json.dumps(about, indent=2) + "\n")
    return folder
