"""Completion keys of a small grid, and sources that a test may edit."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

from papa.benchmark.grid import Grid
from papa.benchmark.runs import key as provenance
from papa.benchmark.runs.scores import score_key
from support import tiny

SMC = {"papa.smc", *(f"papa.smc.{name}" for name in ("fkc", "population", "weights", "resampling", "diversity"))}
BLOCKS: dict[str, Any] = {
    "digits": {
        "task": "digits",
        "methods": ["base", "best_of_n", "papa", "epapa", "fkc"],
        "users": ["likes-3"],
        "seeds": [0, 1],
    },
    "plane": {"task": "gmm2d", "methods": ["base", "fkc"], "users": ["linear"], "seeds": [0]},
}


def imported(file: Path) -> set[str]:
    """Top-level packages that a source imports, anywhere in it."""
    return {
        name.split(".")[0]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }


def forget() -> None:
    """What was read of the sources; each test may look at others."""
    for cached in ("_tree", "_behaviour", "import_closure", "source_hash", "artefact_hashes"):
        getattr(provenance, cached).cache_clear()


def edit(file: Path) -> None:
    """Change what a source does (or what a data file says)."""
    added = "\nEDITED = True\n" if file.suffix == ".py" else "\n# edited\n"
    file.write_text(file.read_text(encoding="utf-8") + added, encoding="utf-8")
    forget()


def keys(tmp_path: Path, change: Callable[[dict[str, Any]], Any] = lambda data: None) -> dict[tuple, str]:
    """Completion keys of a grid, base pools included."""
    data = tiny.config(tmp_path) | {"grid": {name: dict(block) for name, block in BLOCKS.items()}}
    data["methods"]["epapa"] = dict(data["methods"]["papa"])
    change(data)
    grid = Grid(tiny.load(tiny.write(tmp_path, data)).config)
    found: dict[tuple, str] = {axes: spec.key for axes, spec in grid.specs.items()}
    for spec in grid:
        found[spec.task, "pool", spec.seed] = spec.base.key
        found[spec.task, "score", *grid_axes(spec)] = score_key(spec)
    return found


def grid_axes(spec: Any) -> tuple:
    return spec.method, spec.user, spec.seed


def changed(before: dict[tuple, str], after: dict[tuple, str]) -> set[tuple]:
    return {axes for axes in before if before[axes] != after.get(axes)}


def runs_of(found: set[tuple]) -> set[tuple]:
    """The changed alignment runs, as (task, method)."""
    return {axes[:2] for axes in found if axes[1] not in ("pool", "score")}


PAPAS = {("digits", "papa"), ("digits", "epapa")}
ALL_RUNS = {(block["task"], method) for block in BLOCKS.values() for method in block["methods"]}
