"""The stages of the workflow, each a subcommand of `papa` that can be run by hand.

Nothing heavy is imported before a subcommand needs it, so `papa --help` is quick.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from papa.errors import LabelsError, PapaError
from papa.settings import unknown

if TYPE_CHECKING:
    import pandas as pd

    from papa.benchmark.config import Config
    from papa.benchmark.grid import Grid
    from papa.benchmark.specs import BaseSpec, RunSpec, TaskSpec
    from papa.benchmark.tasks.interface import AnyTask


def log(message: str) -> None:
    """Print one line of progress on standard error, without delay."""
    print(message, file=sys.stderr, flush=True)


def overrides(args: argparse.Namespace) -> dict[str, Any]:
    """What `--override` says."""
    try:
        given = json.loads(args.override) if args.override else {}
        if not isinstance(given, dict):
            raise ValueError("no object")
    except ValueError as error:
        raise PapaError(f'--override is no JSON object ({error}); write it like \'{{"device": "cpu"}}\'.') from None
    return given


def load_grid(args: argparse.Namespace) -> Grid:
    from papa.benchmark import grid

    return grid.load(args.config, overrides(args))


def open_task(of: TaskSpec, config: Config, threads: int, device: str | None = None) -> AnyTask:
    """Load a task on the device that the configuration asks for, or on another one.

    What the task keeps lies in the folder of results.
    """
    from papa.benchmark.gpus import take_gpu
    from papa.benchmark.machine import pick_device, use_threads

    use_threads(threads)
    wanted = device or config.device
    chosen = pick_device(wanted)
    if chosen != wanted:
        log(f"device: {wanted} -> {chosen}")
    if chosen == "cuda":
        take_gpu(log)
    if of.declaration.prompted:
        from papa.models.pipeline import hush

        hush()
    return of.declaration.load()(of.settings, chosen, Path(config.results, of.label, "real"))


def stamp(args: argparse.Namespace, text: str) -> None:
    """Write the stamp that tells the workflow that this stage is done."""
    from papa.files import write_atomic

    if args.stamp:
        write_atomic(Path(args.stamp), f"generation {args.generation}\n{text}\n")


# ---------------------------------------------------------------- the stages


def prepare(args: argparse.Namespace) -> None:
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
    asked = {name: getattr(args, name) for name in ("data", "download", "size", "precision") if getattr(args, name)}
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
    from papa.models.pipeline import hush
    from papa.recipes.adapter import from_config

    use_threads(args.threads)
    hush()
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


def collect(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    from papa.paper.long_table import collect as collect_runs

    path = collect_runs(grid, args.generation)
    log(f"{path}: written")


def export(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    specs = grid.select(args.task, args.method, args.user, args.seeds)
    from papa.benchmark.runs.export import export as export_run

    task = open_task(specs[0].of, grid.config, args.threads)
    for spec in specs:
        folder = Path(args.to) if len(specs) == 1 else Path(args.to, f"seed{spec.seed}")
        export_run(spec, task, folder, log)


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


def doctor(args: argparse.Namespace) -> None:
    grid = load_grid(args)
    from papa.benchmark.doctor import examine

    problems = examine(grid, print)
    if problems:
        raise PapaError(f"{problems} thing(s) above stand in the way; each line says what to do.")


def labels(args: argparse.Namespace) -> None:
    from papa.labels import load_labels
    from papa.labels.report import examine
    from papa.methods import learning_from

    given = load_labels(args.source, args.user)
    report = examine(given)
    for line in report.lines():
        print(line)
    if report.problems:
        raise LabelsError(
            f"{len(report.problems)} of the {len(given)} pictures cannot be used; the lines above say why and what to "
            "do with each."
        )
    print(f"methods that learn from {given.kind} of pictures: {', '.join(learning_from(given.kind))}")


def serve(args: argparse.Namespace) -> None:
    try:
        from papa.app.start import start
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("starlette", "uvicorn", "jinja2", "anyio"):
            raise
        raise PapaError(f"the page needs {error.name}; `pip install papa[app]` brings it.") from None
    start(args, log)


def schema(args: argparse.Namespace) -> None:
    from papa.benchmark.schema import config_schema

    print(json.dumps(config_schema(), indent=2))
