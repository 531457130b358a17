"""Missing requirements of a configuration, and the estimated time of its missing runs. Imports no torch at first.

`papa/data/durations.json` holds the CPU seconds that a thousand denoiser evaluations of each kind of run took on one
machine, learning and measuring included. A matrix product measures the relative speed of this machine.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from papa.benchmark.grid import Grid
from papa.benchmark.machine import pick_device
from papa.benchmark.runs.record import is_finished
from papa.benchmark.specs import BaseSpec, RunSpec
from papa.errors import PapaError

TRAINED = 4
"""Forward evaluations that cost as much as one trained (item, timestep) pair."""
LEVELS = 1000
"""Timesteps of a training schedule."""


def recorded() -> dict[str, Any]:
    """The recorded durations."""
    return json.loads(files("papa").joinpath("data/durations.json").read_text(encoding="utf-8"))


def calibrate() -> float:
    """CPU seconds of a fixed matrix product: the median of a few."""
    x, spent = np.random.default_rng(0).standard_normal((384, 384), dtype=np.float32), []
    for _ in range(9):
        before = time.process_time()
        for _ in range(4):
            np.matmul(x, x)
        spent.append(time.process_time() - before)
    return float(np.median(spent))


def kind(spec: RunSpec | BaseSpec) -> str:
    """Task and algorithm of a run, as `durations.json` names them."""
    return f"{spec.of.name}/{spec.algorithm if isinstance(spec, RunSpec) else 'base samples'}"


def evaluations(spec: RunSpec | BaseSpec) -> float:
    """Denoiser evaluations of a run, roughly: of its samples, and of training."""
    guided = float(getattr(spec.of.settings, "guidance_scale", 1.0)) != 1.0
    per_sample, measures = spec.of.settings.steps * (2 if guided else 1), spec.of.measures
    if isinstance(spec, BaseSpec):
        return measures.base * per_sample
    settings: Any = spec.settings
    samples = settings.labels + measures.final + measures.served + measures.per_round * (settings.rounds - 1)
    if not hasattr(settings, "timesteps"):
        return samples * per_sample
    timesteps = LEVELS if settings.timesteps == "exact" else settings.timesteps
    return samples * per_sample + TRAINED * settings.rounds * settings.updates * settings.items * timesteps


def estimate(missing: Collection[RunSpec], cores: int) -> str:
    """`about 24 minutes on 2 cores`, from recorded durations; kinds of runs without a recorded one are named."""
    known = recorded()
    bases = {spec.base.folder: spec.base for spec in missing if not is_finished(spec.base)}
    wanted = [*missing, *bases.values()]
    spent = sum(known["per_thousand"].get(kind(spec), 0.0) * evaluations(spec) / 1000 for spec in wanted)
    spent += known["start"] * len({(spec.task, spec.method) for spec in missing})
    spent *= calibrate() / known["calibration"] / cores
    unknown = sorted({kind(spec) for spec in wanted} - set(known["per_thousand"]))
    rest = f", without {', '.join(unknown)} (never timed)" if unknown else ""
    minutes = max(1, round(spent / 60))
    shown = f"{spent / 3600:.1f} hours" if spent > 5400 else f"{minutes} minute{'s' * (minutes > 1)}"
    return f"about {shown} on {cores} {'core' if cores == 1 else 'cores'}{rest}"


def missing_runs(grid: Grid, cores: int) -> str:
    """`12 of 40 runs missing, about 24 minutes on 2 cores`."""
    missing = [spec for spec in grid if not is_finished(spec)]
    time_left = f", {estimate(missing, cores)}" if missing else ""
    return f"{len(missing)} of {len(grid)} runs missing{time_left}"


def examine(grid: Grid, say: Callable[[str], None]) -> int:
    """Print one line per need of the configuration; returns the number of problems."""
    wanted = grid.config.device
    checks = [
        lambda: f"device: {wanted} -> {pick_device(wanted)}",
        lambda: _folder(grid.config.results),
        lambda: _folder(grid.config.figures),
    ]
    for task in grid.used:
        checks += _needs(grid, task) or [lambda task=task: _artefacts(grid, task)]
    problems = 0
    for check in checks:
        try:
            say(f"ok       {check()}")
        except PapaError as error:
            problems += 1
            say(f"problem  {error}")
    say(f"         {missing_runs(grid, os.cpu_count() or 1)}")
    return problems


def _folder(name: str) -> str:
    place = Path(name).absolute()
    while not place.exists() and not place.is_symlink():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise PapaError(f"{place} cannot be written; give write permission or choose another folder.")
    return f"folder {name}: can be written"


def _needs(grid: Grid, task: str) -> list[Callable[[], str]]:
    """The checks of a task that needs more than this package."""
    of = grid.tasks[task]
    if (module := of.declaration.needs) is None:
        return []
    import torch

    methods = list({spec.method: spec.settings for spec in grid if spec.task == task}.values())
    device = "cpu" if grid.config.device == "cpu" or not torch.cuda.is_available() else "cuda"
    return import_module(module).checks(of.settings, methods, device)


def _artefacts(grid: Grid, task: str) -> str:
    from papa.benchmark.tasks.artefacts import verified_card

    if (name := grid.tasks[task].declaration.artefacts) is None:
        return f"task {task}: needs no artefacts"
    return f"task {task}: {len(verified_card(name)['sha256'])} artefacts, sha256 as in the model card"
