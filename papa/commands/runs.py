"""The commands that make and measure: artefacts, base samples, alignment runs, exported models, the personal study."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from papa.commands.common import load_grid, log, open_task
from papa.errors import PapaError

if TYPE_CHECKING:
    from papa.benchmark.specs import BaseSpec, RunSpec
    from papa.benchmark.tasks.interface import Task


def doctor(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    from papa.benchmark.doctor import examine

    if problems := examine(grid, print):
        raise PapaError(f"{problems} problem(s) above; each line says what to do.")


def prepare(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    of = grid.task(args.task)
    # A large model is checked on the device that it will use.
    open_task(of, grid.config, args.threads, None if of.declaration.needs else "cpu").check(log)
    log(f"task {args.task}: ready")


def base(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    from papa.benchmark.runs.base_samples import draw_base_samples
    from papa.benchmark.runs.record import is_finished

    task = None
    for spec in [grid.base(args.task, seed) for seed in args.seeds]:
        if is_finished(spec, verify=True):
            log(f"{spec.folder}: already there")
            continue
        task = task or open_task(spec.of, grid.config, args.threads)
        draw_base_samples(spec, task.model)
        log(f"{spec.folder}: {spec.of.measures.base} base samples")


def align(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    specs = sorted(grid.select(args.task, args.method, args.user, args.seeds), key=lambda spec: (spec.task, spec.seed))
    from papa.benchmark.runs.align import align as align_one
    from papa.benchmark.runs.align import forget
    from papa.benchmark.runs.base_samples import draw_base_samples
    from papa.benchmark.runs.record import is_finished, kind_of, stored
    from papa.benchmark.runs.score import Scorer

    task, scorer = None, None
    for spec in specs:
        if args.force:
            forget(spec)
        if is_finished(spec, verify=True):
            log(f"{spec.folder}: already there{result_of(spec)}")
            continue
        device = device_for(spec.base)
        if task is None or scorer is None or scorer.task != spec.task or kind_of(task.device) != kind_of(device):
            task = open_task(spec.of, grid.config, args.threads, device)
            scorer = Scorer(spec, task)
        if not stored(spec.base, verify=True):  # of a command by hand; the workflow has made them
            draw_base_samples(spec.base, task.model)
        if not stored(spec, verify=True):
            align_one(spec, task, log)
        scorer.score(spec)
        log(f"{spec.folder}: done{result_of(spec)}")


def device_for(base: BaseSpec) -> str:
    """The device of a run: the kind that its base samples were sampled on, if they are there."""
    from papa.benchmark.machine import pick_device
    from papa.benchmark.runs.record import kind_of, stored

    wanted, record = base.config.device, stored(base)
    if record is None or wanted != "auto":
        return pick_device(wanted)
    try:
        return pick_device(kind_of(record.meta.device))
    except PapaError as error:
        raise PapaError(f"the base samples in {base.folder} were sampled on CUDA; or delete them. {error}") from None


def result_of(spec: RunSpec) -> str:
    """The main values of a finished run, for the log: `, preference 0.81, held out 0.80, ...`."""
    from papa.benchmark.runs.record import read_scores

    names = {
        "preference_gold": "preference",
        "preference_held_out": "held-out preference",
        "mean_reward": "mean reward",
        "served_distance": "mean pairwise distance",
    }
    values = {row["metric"]: row["value"] for row in read_scores(spec) if row["stage"] == "final"}
    return "".join(f", {name} {values[metric]:.3g}" for metric, name in names.items() if metric in values)


def personal(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    from papa.benchmark.runs.base_samples import draw_base_samples
    from papa.benchmark.runs.personal import base_of, study, write, write_pairs
    from papa.benchmark.runs.record import stored

    spec = base_of(grid)
    task: Task = open_task(spec.of, grid.config, args.threads, device_for(spec))
    if not stored(spec, verify=True):
        draw_base_samples(spec, task.model)
    path = write_pairs(grid, task) if args.pairs else write(grid, study(grid, task, log))
    log(f"{path}: written")


def export(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    specs = grid.select(args.task, args.method, args.user, args.seeds)
    from papa.benchmark.runs.export import export as export_run

    task = open_task(specs[0].of, grid.config, args.threads, device_for(specs[0].base))
    for spec in specs:
        export_run(spec, task, Path(args.to) if len(specs) == 1 else Path(args.to, f"seed{spec.seed}"), log)
