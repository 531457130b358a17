"""The commands that read finished runs: the long table, tables, figures, claims, and reference results."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import papa.settings
from papa.benchmark.grid import Grid
from papa.commands.common import load_grid, log
from papa.errors import PapaError

CLAIMS, PAGE, TUNING = "claims", "page", "tuning"


def collect(args: argparse.Namespace) -> None:
    from papa.paper.long_table import collect as collect_runs

    log(f"{collect_runs(load_grid(args))}: written")


def make(args: argparse.Namespace) -> None:
    """Write one table, figure, the claims, the page or the chosen settings of a search."""
    grid = load_grid(args)
    from papa.paper.figures import FIGURES
    from papa.paper.long_table import gather
    from papa.paper.shown import shown
    from papa.paper.tables import TABLES

    names = [*TABLES, *FIGURES, CLAIMS, PAGE, TUNING]
    if args.name not in names:
        raise PapaError(papa.settings.unknown("table or figure", args.name, names))
    if args.name == TUNING:
        from papa.paper.tuning import candidates

        candidates(grid)  # before anything is read
    specs = list(grid) if args.name in (PAGE, TUNING) else shown(args.name, grid)
    rows = gather(specs, args.available)
    for path in _writer(args, grid)(rows):
        log(f"{path}: written")


def _writer(args: argparse.Namespace, grid: Grid) -> Callable[..., Sequence[Path]]:
    from papa.paper import figures, tables

    results = Path(grid.config.results)
    if args.name in tables.TABLES:
        return lambda rows: tables.write(args.name, rows, grid, results / "tables")
    if args.name in figures.FIGURES:
        return lambda rows: figures.plot(args.name, rows, grid, Path(grid.config.figures))
    if args.name == CLAIMS:
        from papa.paper.tables import ledger

        return lambda rows: ledger.write(rows, grid, results)
    if args.name == TUNING:
        from papa.paper import tuning

        return lambda rows: tuning.write(rows, grid, results, args.config)
    from papa.paper import page

    return lambda rows: [page.write(rows, grid, args.config)]


def reference(args: argparse.Namespace) -> None:
    """Keep, check, submit or rank results."""
    from papa.paper import reference
    from papa.paper.long_table import read_table

    folder = Path(args.reference) if args.reference else reference.place_of(args.config)
    if (args.verb in ("submit", "rank") and args.bundle is None) or (args.verb == "submit" and args.method is None):
        raise PapaError("write `papa reference submit BUNDLE --method LABEL`, or `papa reference rank BUNDLE`.")
    if args.verb == "rank":
        print(reference.rank(Path(args.bundle), folder))
        return
    grid = load_grid(args)
    if args.verb == "check":
        reference.read_cells(folder)  # before the runs are read
        page, _ = reference.check(read_table(grid), grid, folder)
        print(page.read_text(encoding="utf-8"))
    elif args.verb == "submit":
        log(f"{reference.submit(read_table(grid), grid, args.method, Path(args.bundle))}: written")
    else:
        log(f"{reference.write(read_table(grid), grid, args.config)}: written")
