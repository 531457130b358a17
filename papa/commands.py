"""The subcommands of `papa`. Nothing heavy is imported before a command needs it, so `papa --help` is fast."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from papa.errors import LabelsError, PapaError
from papa.settings import unknown

if TYPE_CHECKING:
    from papa.benchmark.config import Config
    from papa.benchmark.grid import Grid
    from papa.benchmark.specs import BaseSpec, RunSpec, TaskSpec
    from papa.benchmark.tasks.interface import Task


def log(message: str) -> None:
    """Print one line of progress on standard error."""
    print(message, file=sys.stderr, flush=True)


def load_grid(args: argparse.Namespace) -> Grid:
    """The grid of `--config` and `--override`."""
    from papa.benchmark import grid

    try:
        given: Any = json.loads(args.override or "{}")
        if not isinstance(given, dict):
            raise ValueError("no object")
    except ValueError as error:
        raise PapaError(f'--override is no JSON object ({error}); write it like \'{{"device": "cpu"}}\'.') from None
    return grid.load(args.config, given)


def open_task(of: TaskSpec, config: Config, threads: int, device: str | None = None) -> Task:
    """Load a task.

    Args:
        of: the task.
        config: the experiment.
        threads: CPU threads (the last bits of a result depend on their number).
        device: the device; None is the configuration's.
    """
    import torch

    from papa.benchmark.gpus import take_gpu
    from papa.benchmark.machine import pick_device

    torch.set_num_threads(threads)
    chosen = device or pick_device(config.device)
    if chosen != config.device:
        log(f"device: {config.device} -> {chosen}")
    if chosen == "cuda":
        take_gpu(log)
    if of.declaration.prompted:
        from papa.models.pipeline import silence_logging

        silence_logging()
    return of.declaration.load()(of.settings, chosen, Path(config.results, of.label, "real"))


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
    task = open_task(spec.of, grid.config, args.threads, device_for(spec))
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


def collect(args: argparse.Namespace) -> None:
    from papa.paper.long_table import collect as collect_runs

    log(f"{collect_runs(load_grid(args))}: written")


def make(args: argparse.Namespace) -> None:
    """Write one table, figure, the claims, the page or the chosen settings of a search."""
    grid = load_grid(args)
    from papa.paper import figures, page, tables, tuning
    from papa.paper.long_table import gather
    from papa.paper.shown import shown
    from papa.paper.tables import ledger

    names = [*tables.TABLES, *figures.FIGURES, "claims", "page", "tuning"]
    if args.name not in names:
        raise PapaError(unknown("table or figure", args.name, names))
    if args.name == "tuning":
        tuning.candidates(grid)  # before anything is read
    rows = gather(list(grid) if args.name in ("page", "tuning") else shown(args.name, grid), args.available)
    results = Path(grid.config.results)
    if args.name in tables.TABLES:
        paths = tables.write(args.name, rows, grid, results / "tables")
    elif args.name in figures.FIGURES:
        paths = figures.plot(args.name, rows, grid, Path(grid.config.figures))
    elif args.name == "claims":
        paths = ledger.write(rows, grid, results)
    elif args.name == "tuning":
        paths = tuning.write(rows, grid, results, args.config)
    else:
        paths = [page.write(rows, grid, args.config)]
    for path in paths:
        log(f"{path}: written")


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


def labels(args: argparse.Namespace) -> None:
    from papa.labels import load_labels, report
    from papa.methods import learning_from

    given = load_labels(args.source, args.user)
    lines, problems = report(given)
    for line in lines:
        print(line)
    if problems:
        raise LabelsError(f"{problems} of the {len(given)} images cannot be used; the lines above say what to do.")
    print(f"methods that learn from {given.kind} of images: {', '.join(learning_from(given.kind))}")


def serve(args: argparse.Namespace) -> None:
    try:
        import jinja2  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise PapaError(f"the page needs {error.name}; install it with `pip install papa[app]`.") from None
    from papa.serve.start import start

    start(args, log)


def schema(args: argparse.Namespace) -> None:
    from papa.benchmark.schema import config_schema

    print(json.dumps(config_schema(), indent=2))
