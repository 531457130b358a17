"""The commands that make and measure: artefacts, base samples, alignment runs, adapters."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from papa.commands.common import load_grid, log, open_task, overrides, stamp
from papa.errors import PapaError
from papa.settings import unknown

if TYPE_CHECKING:
    from papa.benchmark.grid import Grid
    from papa.benchmark.specs import BaseSpec, RunSpec


TRAINED_BY = ("data", "download", "size", "precision", "onwards")
"""Options of `papa prepare --retrain` for tasks that take data."""


def prepare(args: argparse.Namespace) -> None:
    if not args.retrain and (asked := [name for name in ("part", "steps", *TRAINED_BY) if getattr(args, name)]):
        raise PapaError(f"--{asked[0]} says how to train; give --retrain as well.")
    if args.retrain:
        _retrain(args)
        if not Path(args.config).is_file():  # the recipe needs no experiment
            return
    grid = load_grid(args)
    of = grid.task(args.task)
    # A large model is checked where it will run.
    open_task(of, grid.config, args.threads, None if of.declaration.needs else "cpu").check(log)
    stamp(args, "ready")
    log(f"task {args.task}: ready")


def _retrain(args: argparse.Namespace) -> None:
    """Train the artefacts of a registered task again."""
    from importlib import import_module

    from papa.benchmark import tasks
    from papa.benchmark.machine import use_threads

    declared = tasks.declaration(args.task)
    recipe = declared.recipe
    if args.part is not None:
        if args.part not in declared.parts:
            raise PapaError(f"task {args.task}: {unknown('part', args.part, declared.parts)}")
        recipe = declared.parts[args.part]
    if recipe is None:
        raise PapaError(f"task {args.task} has no trained artefacts, so there is nothing to retrain.")
    asked = {name: getattr(args, name) for name in TRAINED_BY if getattr(args, name)}
    if declared.takes_data:
        asked["task"] = args.task
    elif asked:
        raise PapaError(f"task {args.task}: its recipe takes no --{next(iter(asked))}.")
    use_threads(args.threads)
    import_module(recipe).retrain(log, steps=args.steps, **asked)


def base(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    from papa.benchmark.runs.base_samples import draw_base_samples
    from papa.benchmark.runs.jobs import unless_done
    from papa.benchmark.runs.record import is_complete

    specs = [grid.base(args.task, seed) for seed in args.seeds]
    task = open_task(specs[0].of, grid.config, args.threads)

    def make(spec: BaseSpec) -> str:
        draw_base_samples(spec, task.model)
        return f"{spec.of.measures.base} base samples"

    unless_done(specs, lambda spec: is_complete(spec.folder, spec.key), make, log)
    stamp(args, "\n".join(spec.key for spec in specs))


def align(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    specs = sorted(grid.select(args.task, args.method, args.user, args.seeds), key=lambda spec: spec.seed)
    from papa.benchmark.runs.align import align as align_one
    from papa.benchmark.runs.align import forget
    from papa.benchmark.runs.base_samples import draw_base_samples
    from papa.benchmark.runs.jobs import unless_done
    from papa.benchmark.runs.record import is_complete
    from papa.benchmark.runs.score import Scorer
    from papa.benchmark.runs.scores import is_scored

    if args.force:
        for spec in specs:
            forget(spec)
    task = open_task(specs[0].of, grid.config, args.threads)
    scorer = Scorer(specs[0], task)

    def make(spec: RunSpec) -> str:
        if not is_complete(spec.folder, spec.key):
            align_one(spec, task, log)
        if not is_complete(spec.base.folder, spec.base.key):  # of a command by hand; the workflow has made them
            draw_base_samples(spec.base, task.model)
        return scorer.score(spec)

    unless_done(specs, lambda spec: is_complete(spec.folder, spec.key) and is_scored(spec), make, log)
    stamp(args, "\n".join(spec.key for spec in specs))
    if args.cores:
        say_what_is_left(grid, args.cores)


def personal(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    from papa.benchmark.runs.base_samples import draw_base_samples
    from papa.benchmark.runs.personal import base_of, study, write, write_pairs
    from papa.benchmark.runs.record import is_complete

    base = base_of(grid)
    task = open_task(base.of, grid.config, args.threads)
    if not is_complete(base.folder, base.key):
        draw_base_samples(base, task.model)
    path = write_pairs(grid, task) if args.pairs else write(grid, study(grid, task, log))
    log(f"{path}: written")


def adapter(args: argparse.Namespace) -> None:
    from papa.benchmark.machine import use_threads
    from papa.models.pipeline import silence_logging
    from recipes.adapter import from_config

    use_threads(args.threads)
    silence_logging()
    log(f"{from_config(args.config, overrides(args), log)}: ready")


def say_what_is_left(grid: Grid, cores: int) -> None:
    """Print how long the runs that are still missing will take, for whoever looks at the workflow's progress."""
    from papa.benchmark.estimate import of_missing

    if said := of_missing(grid, cores):
        print(said, flush=True)


def score(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    specs = grid.select(args.task, args.method, args.user, args.seeds)
    from papa.benchmark.runs.jobs import unless_done
    from papa.benchmark.runs.score import Scorer
    from papa.benchmark.runs.scores import is_scored

    for name in dict.fromkeys(spec.task for spec in specs):
        chosen = [spec for spec in specs if spec.task == name]
        if not all(map(is_scored, chosen)):
            of = chosen[0].of
            task = open_task(of, grid.config, args.threads, None if of.declaration.needs else "cpu")
            unless_done(chosen, is_scored, Scorer(chosen[0], task).score, log)


def export(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    specs = grid.select(args.task, args.method, args.user, args.seeds)
    from papa.benchmark.runs.export import export as export_run

    task = open_task(specs[0].of, grid.config, args.threads)
    for spec in specs:
        folder = Path(args.to) if len(specs) == 1 else Path(args.to, f"seed{spec.seed}")
        export_run(spec, task, folder, log)
