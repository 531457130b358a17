"""How long runs will take on this machine: recorded CPU seconds of their kinds, scaled by a calibration.

`papa/data/durations.json` says what a thousand denoiser evaluations of each kind of run (task and algorithm) took on
one machine, everything that goes with them included (learning, measuring, writing), what the start of a process took,
and what `calibrate` gave there. `tools/durations.py` makes it from finished experiments. Imports no torch.

A matrix product says little of how quick convolutions are, so the runs of the grid that this machine has finished
already take the place of the calibration: what they took over what was recorded of their kinds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from papa.benchmark.grid import Grid
from papa.benchmark.machine import processor
from papa.benchmark.personal import PersonalStudy
from papa.benchmark.runs.record import read_record, stands
from papa.benchmark.runs.scores import is_made
from papa.benchmark.specs import BaseSpec, RunSpec, TaskSpec
from papa.methods.shared.finetune import FinetuneSettings

SIDE, REPEATS = 384, 9
TRAINED = 4
"""Forward evaluations that one trained (item, timestep) pair takes: its own, the frozen network's, and backward."""
BASE_SAMPLES = "base samples"
ENOUGH = 60.0
"""Recorded seconds of finished runs from which on they say how quick this machine is."""


@dataclass(frozen=True)
class Durations:
    """CPU seconds on one machine. calibration: of `calibrate`. start: of a process. drawing: of a table or figure with
    its process. per_thousand: of a thousand evaluations, by kind."""

    machine: str
    calibration: float
    start: float
    drawing: float
    per_thousand: dict[str, float]


def recorded() -> Durations:
    """What is shipped."""
    return Durations(**json.loads(files("papa").joinpath("data/durations.json").read_text(encoding="utf-8")))


def calibrate() -> float:
    """CPU seconds of a fixed computation on one core: the median of a few matrix products."""
    from threadpoolctl import threadpool_limits

    x = np.random.default_rng(0).standard_normal((SIDE, SIDE), dtype=np.float32)
    spent = []
    with threadpool_limits(1):
        for _ in range(REPEATS):
            before = time.process_time()
            for _ in range(4):
                np.matmul(x, x)
            spent.append(time.process_time() - before)
    return float(np.median(spent))


def pace(finished: Iterable[RunSpec]) -> float | None:
    """What finished runs took here over what was recorded of their kinds, by the clock.

    None where too few of them were made on a processor of this name to say so.
    """
    known, took, expected = recorded(), 0.0, 0.0
    for spec in finished:
        meta = read_record(spec.folder, spec.key).meta
        if meta.machine.processor == processor() and meta.device == "cpu" and kind(spec) in known.per_thousand:
            took += meta.seconds["total"] or 0.0
            expected += known.per_thousand[kind(spec)] * evaluations(spec) / 1000
    return took / expected if expected >= ENOUGH else None


def kind(spec: RunSpec | BaseSpec) -> str:
    """Task, or another one that takes as long, and algorithm."""
    task = spec.of.declaration.takes_as_long_as or spec.of.name
    return f"{task}/{spec.algorithm if isinstance(spec, RunSpec) else BASE_SAMPLES}"


def evaluations(spec: RunSpec | BaseSpec) -> float:
    """Denoiser evaluations of a run as for a method that draws each sample once, and what training takes."""
    if isinstance(spec, BaseSpec):
        return spec.of.measures.base * _per_sample(spec.of)
    measures, settings = spec.of.measures, spec.settings
    points = (settings.rounds - 1) // measures.curve_every
    drawn = settings.labels + measures.final + measures.served + measures.per_round * points
    if spec.of.declaration.prompted:
        drawn += measures.retention * settings.candidates
    return drawn * _per_sample(spec.of) + _trained(settings, spec.of)


def _per_sample(of: TaskSpec) -> float:
    guided = float(getattr(of.settings, "guidance_scale", 1.0)) != 1.0
    return of.settings.steps * (2 if guided else 1)


def _trained(settings: Any, of: TaskSpec) -> float:
    """What training takes, in forward evaluations."""
    if not isinstance(settings, FinetuneSettings):
        return 0.0
    timesteps = _levels(of) if settings.timesteps == "exact" else settings.timesteps
    share = 1 - getattr(settings, "frozen_below", 0.0)
    return TRAINED * settings.rounds * settings.updates * settings.items * timesteps * share


def _levels(of: TaskSpec) -> int:
    """Timesteps of the training schedule: as the shipped scheduler says, or as most do."""
    shipped = files("papa").joinpath(f"data/{of.declaration.artefacts}")
    for place in ("scheduler", "pipeline/scheduler"):
        file = shipped.joinpath(place, "scheduler_config.json")
        if file.is_file():
            return int(json.loads(file.read_text(encoding="utf-8"))["num_train_timesteps"])
    return 1000


def of_study(asked: PersonalStudy, of: TaskSpec) -> float:
    """Recorded CPU seconds of a study of personal models: those of as many base samples, and of a process."""
    known = recorded()
    each = known.per_thousand.get(f"{of.name}/{BASE_SAMPLES}", 0.0) * _per_sample(of) / 1000
    return known.start + each * asked.pictures


def seconds(
    specs: Collection[RunSpec], processes: int, drawings: int = 0, finished: Iterable[RunSpec] = (), more: float = 0.0
) -> tuple[float, set[str]]:
    """CPU seconds that missing runs will take on one core of this machine, and the kinds that nothing is known of.

    Base samples of theirs that are missing are made as well.

    Args:    processes: that make them. drawings: tables and figures that are made from them. finished: runs that
             stand, and say how quick this machine is. more: recorded seconds of anything else.
    """
    known = recorded()
    bases = {spec.base.folder: spec.base for spec in specs if not stands(spec.base.folder, spec.base.key)}
    wanted = [*specs, *bases.values()]
    unknown = {kind(spec) for spec in wanted} - set(known.per_thousand)
    spent = sum(known.per_thousand.get(kind(spec), 0.0) * evaluations(spec) / 1000 for spec in wanted)
    scale = pace(finished) or calibrate() / known.calibration
    return scale * (spent + more + known.start * processes + known.drawing * drawings), unknown


def of_missing(grid: Grid, cores: int) -> str | None:
    """How many runs of a grid are missing, and how long they will take; None where all are there."""
    made = {spec.folder: is_made(spec) for spec in grid}
    missing, finished = ([spec for spec in grid if made[spec.folder] == there] for there in (False, True))
    if not missing:
        return None
    jobs = len({(spec.task, spec.method) for spec in missing})  # about: users and seeds share a process
    return f"{len(missing)} of {len(grid)} runs are missing: {sentence(missing, jobs, 0, cores, finished)}"


def sentence(
    specs: Collection[RunSpec],
    processes: int,
    drawings: int,
    cores: int,
    finished: Iterable[RunSpec] = (),
    more: float = 0.0,
) -> str:
    """`about 24 minutes on 2 cores`, of `seconds`; kinds that were never recorded are named."""
    spent, unknown = seconds(specs, processes, drawings, finished, more)
    rest = f", and what was never recorded: {', '.join(sorted(unknown))}" if unknown else ""
    return f"about {spoken(spent / cores)} on {cores} {'core' if cores == 1 else 'cores'}{rest}"


def spoken(spent: float) -> str:
    """A duration in the largest unit that makes a number above 1."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if spent >= 1.5 * size:
            return f"{spent / size:.1f} {unit}" if spent < 10 * size else f"{spent / size:.0f} {unit}"
    return f"{max(1, round(spent))} seconds"
