"""What a configuration needs, and whether it is there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch

from papa.benchmark.estimate import of_missing
from papa.benchmark.grid import Grid
from papa.benchmark.machine import pick_device
from papa.benchmark.specs import RunSpec
from papa.benchmark.tasks.artefacts import folder, verified_card
from papa.errors import PapaError

BYTES_PER_RUN = 2 * 2**20
"""A generous size of one run record of an embedded task."""


def examine(grid: Grid, say: Callable[[str], None]) -> int:
    """Print one line per need of the configuration; returns the number of problems."""
    checks = [lambda: _device(grid), lambda: _folder(grid.config.results), lambda: _folder(grid.config.figures)]
    for task in grid.used:
        checks += _needs(grid, task) or [lambda task=task: _artefacts(grid, task)]
    checks += [lambda: _disk(grid), lambda: _time(grid)]
    problems = 0
    for check in checks:
        try:
            say(f"ok       {check()}")
        except PapaError as error:
            problems += 1
            say(f"problem  {error}")
    return problems


def _device(grid: Grid) -> str:
    return f"device: {grid.config.device} -> {pick_device(grid.config.device)}"


def _folder(name: str) -> str:
    place = Path(name).absolute()
    while not place.exists():
        if place.is_symlink():
            raise PapaError(f"{place} is a link to a place that is not there; mend the link, or delete it.")
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise PapaError(
            f"{place} cannot be written; give write permission or choose another folder in the configuration."
        )
    return f"folder {name}: can be written"


def _needs(grid: Grid, task: str) -> list[Callable[[], str]]:
    """The checks of a task that needs more than this package."""
    of = grid.tasks[task]
    if (module := of.declaration.needs) is None:
        return []
    methods = list({spec.method: spec.settings for spec in grid if spec.task == task}.values())
    device = "cpu" if grid.config.device == "cpu" or not torch.cuda.is_available() else "cuda"
    return import_module(module).checks(of.settings, methods, device)


def _artefacts(grid: Grid, task: str) -> str:
    if (name := grid.tasks[task].declaration.artefacts) is None:
        return f"task {task}: needs no artefacts"
    card = verified_card(name)
    size = sum((folder(name) / file).stat().st_size for file in card["sha256"]) / 2**20
    return f"task {task}: {len(card['sha256'])} artefacts, {size:.1f} MiB, sha256 as stated"


def _bytes_of(spec: RunSpec) -> int:
    """Disk that one run needs."""
    if (module := spec.of.declaration.needs) is None:
        return BYTES_PER_RUN
    return import_module(module).bytes_per_run(spec.settings, spec.of.measures)


def _time(grid: Grid) -> str:
    return f"time: {of_missing(grid, os.cpu_count() or 1) or f'all {len(grid)} runs are there'}"


def _disk(grid: Grid) -> str:
    runs = len(grid)
    place = Path(grid.config.results).absolute()
    while not place.exists():
        place = place.parent
    free, needed = shutil.disk_usage(place).free, sum(_bytes_of(spec) for spec in grid)
    if free < needed:
        raise PapaError(
            f"{runs} runs need up to {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free at {place}."
        )
    return f"disk: {runs} runs need up to {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free"
