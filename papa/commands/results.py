"""The commands that read finished runs: the long table, tables, figures, claims, and what is compared with others."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from papa.commands.common import load_grid, log
from papa.errors import PapaError
from papa.settings import unknown

if TYPE_CHECKING:
    import pandas as pd


def collect(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    from papa.paper.long_table import collect as collect_runs

    path = collect_runs(grid, args.generation)
    log(f"{path}: written")


def table(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    from papa.paper import tables
    from papa.paper.long_table import gather
    from papa.paper.shown import shown

    if args.name not in tables.TABLES:
        raise PapaError(unknown("table", args.name, tables.TABLES))
    rows, _ = gather(shown(args.name, grid))
    for path in tables.write(args.name, rows, grid, Path(grid.config.results) / "tables"):
        log(f"{path}: written")


def plot(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    from papa.paper import figures
    from papa.paper.long_table import gather
    from papa.paper.shown import shown

    if args.name not in figures.FIGURES:
        raise PapaError(unknown("figure", args.name, figures.FIGURES))
    rows, _ = gather(shown(args.name, grid))
    for path in figures.plot(args.name, rows, grid, Path(grid.config.figures)):
        log(f"{path}: written")


def claims(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    from papa.paper.long_table import gather
    from papa.paper.shown import CLAIMS, shown
    from papa.paper.tables.ledger import write as write_claims

    rows, _ = gather(shown(CLAIMS, grid))
    for path in write_claims(rows, grid, Path(grid.config.results)):
        log(f"{path}: written")


def tune(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    from papa.paper import tuning
    from papa.paper.long_table import read_table

    tuning.candidates(grid)  # before anything is read
    for path in tuning.write(read_table(grid), grid, Path(grid.config.results), args.config):
        log(f"{path}: written")


def _reference_cells(args: argparse.Namespace) -> tuple[Path, pd.DataFrame]:
    """The folder of reference results that is compared with, and its cells."""
    from papa.paper import cells
    from papa.paper.reference import CELLS, place_of

    folder = Path(args.reference) if args.reference else place_of(args.config)
    remedy = "Name the folder of reference results with --reference; `papa reference` makes one."
    return folder, cells.read(folder / CELLS, remedy)


def reference(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    from papa.benchmark.machine import this_machine
    from papa.paper import reference, summary
    from papa.paper.long_table import read_table

    machine, folder = this_machine().model_dump(), reference.place_of(args.config)
    log(f"{reference.write(read_table(grid), grid, args.config, machine, folder)}: written")
    text = (folder / reference.SUMMARY).read_text(encoding="utf-8")
    for page in [Path("README.md"), *sorted(Path("docs").glob("*.md"))]:
        if page.is_file() and summary.place(page, folder, text):
            log(f"{page}: has the summary now")


def check(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    from papa.paper import cells, reproduced
    from papa.paper.long_table import read_table

    folder, wanted = _reference_cells(args)
    table = read_table(grid)
    found = reproduced.compare(wanted, cells.cells(table, grid), grid.config.confidence)
    paths = reproduced.write(found, folder, table.attrs.get("about", ""), Path(grid.config.results))
    print(paths[0].read_text(encoding="utf-8"))


def submit(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    from papa.benchmark.machine import this_machine
    from papa.paper import bundle
    from papa.paper.long_table import read_table

    machine = this_machine().model_dump()
    log(f"{bundle.write(read_table(grid), grid, args.method, machine, Path(args.to))}: written")


def rank(args: argparse.Namespace) -> None:
    from papa.paper import bundle

    _, wanted = _reference_cells(args)
    print(bundle.ranking(bundle.read(Path(args.bundle)), wanted))


def page(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    from papa.paper.long_table import read_table
    from papa.paper.page import write as write_page

    path = write_page(read_table(grid), grid, args.config)
    log(f"{path}: written, {path.stat().st_size / 1e6:.1f} MB")
