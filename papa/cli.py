"""The `papa` command. Each stage of the workflow is one subcommand that can be run by hand.

Nothing heavy is imported before a subcommand needs it, so `papa --help` is quick.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from papa import __version__
from papa.errors import PapaError
from papa.settings import unknown

if TYPE_CHECKING:
    from papa.benchmark.config import Config
    from papa.benchmark.grid import BaseSpec, Grid, RunSpec, TaskSpec
    from papa.benchmark.tasks.interface import AnyTask


def log(message: str) -> None:
    """Print one line of progress on standard error, without delay."""
    print(message, file=sys.stderr, flush=True)


def load_grid(args: argparse.Namespace) -> Grid:
    from papa.benchmark import grid

    try:
        overrides = json.loads(args.override) if args.override else {}
        if not isinstance(overrides, dict):
            raise ValueError("no object")
    except ValueError as error:
        raise PapaError(f'--override is no JSON object ({error}); write it like \'{{"device": "cpu"}}\'.') from None
    return grid.load(args.config, overrides)


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


# ---------------------------------------------------------------- subcommands


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

    recipe = tasks.declaration(args.task).recipe
    if recipe is None:
        raise PapaError(f"task {args.task} has no trained artefacts, so there is nothing to retrain.")
    use_threads(args.threads)
    import_module(recipe).retrain(log, steps=args.steps)


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


def say_what_is_left(grid: Grid, cores: int) -> None:
    """Print how long the runs that are still missing will take, for whoever looks at the workflow's progress."""
    from papa.benchmark.estimate import sentence
    from papa.benchmark.runs.record import stands
    from papa.benchmark.runs.scores import is_scored

    missing = [spec for spec in grid if not (stands(spec.folder, spec.key) and is_scored(spec))]
    if missing:
        processes = len({(spec.task, spec.method, spec.user) for spec in missing})
        print(
            f"{len(grid) - len(missing)} of {len(grid)} runs are there; the others: "
            f"{sentence(missing, processes, 0, cores)}.",
            flush=True,
        )


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


def schema(args: argparse.Namespace) -> None:
    from papa.benchmark.schema import config_schema

    print(json.dumps(config_schema(), indent=2))


# ---------------------------------------------------------------- the parser


def positive(text: str) -> int:
    """A whole number of 1 or more, from the command line."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="papa",
        description="Align diffusion models to one person's taste, and measure it. `snakemake --cores all` runs "
        "these stages in order; each can be run by hand.",
    )
    root.add_argument("--version", action="version", version=f"papa {__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], None], help: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        command.set_defaults(run=run)
        command.add_argument("--config", default="config.yaml", help="configuration file (default: %(default)s)")
        command.add_argument(
            "--override", metavar="JSON", help='top-level settings that win, e.g. \'{"device": "cpu"}\''
        )
        return command

    def runs(command: argparse.ArgumentParser, required: bool) -> None:
        command.add_argument("--task", required=required, help="task, as in the configuration's grid")
        command.add_argument("--method", required=required, help="method label, as in the configuration")
        command.add_argument("--user", required=required, nargs="+", help="users, as in the configuration's grid")
        command.add_argument("--seeds", type=int, nargs="+", help="seeds (default: all of the grid)")

    def job(command: argparse.ArgumentParser) -> None:
        command.add_argument("--threads", type=positive, default=1, help="CPU threads (default: %(default)s)")
        command.add_argument("--stamp", metavar="FILE", help="file to write when everything is done")
        command.add_argument("--generation", type=int, default=0, help="number that the stamp says (for the workflow)")

    command = add("prepare", prepare, "check a task's artefacts against their sha256, or train them again")
    command.add_argument("--task", required=True, help="task name")
    command.add_argument("--retrain", action="store_true", help="train the artefacts again and replace them")
    command.add_argument("--steps", type=int, help="with --retrain: training steps of the base model")
    job(command)
    command = add("base", base, "draw the base samples of a task, shared by all methods and users")
    command.add_argument("--task", required=True, help="task name")
    command.add_argument("--seeds", type=int, nargs="+", required=True, help="seeds")
    job(command)
    command = add("align", align, "run alignments and measure them; finished ones are skipped")
    runs(command, required=True)
    command.add_argument("--force", action="store_true", help="delete the chosen runs first and make them again")
    job(command)
    command.add_argument("--cores", type=positive, help="say how long the rest of the grid takes on so many cores")
    command = add("score", score, "measure finished runs again where a measure changed; `align` measures them as well")
    runs(command, required=False)
    command.add_argument("--threads", type=positive, default=1, help="CPU threads (default: %(default)s)")
    command = add("export", export, "write aligned models as folders that diffusers loads, replaying their feedback")
    runs(command, required=True)
    command.add_argument("--to", metavar="DIR", required=True, help="folder to write (one seed), or to put seeds in")
    command.add_argument("--threads", type=positive, default=1, help="CPU threads (default: %(default)s)")
    command = add("collect", collect, "verify all runs and write the long table results/runs.parquet")
    command.add_argument("--generation", type=int, default=0, help="number that the table says (for the workflow)")
    command = add("table", table, "write one table as CSV and Markdown")
    command.add_argument("name", help="for example T1")
    command = add("plot", plot, "draw one figure as PNG and PDF")
    command.add_argument("name", help="for example F1")
    add("claims", claims, "give a verdict on every claim of the papers")
    add("page", page, "put what came out, all figures, tables and claims on one page, results/index.html")
    add("doctor", doctor, "say what is missing before anything starts: weights, device, disk")
    add("schema", schema, "print the JSON schema of the configuration")
    return root


def out_of_memory(error: RuntimeError, task: str | None) -> str | None:
    """What to do if the GPU ran out of memory; None for any other error, or if torch was never imported."""
    if "torch" not in sys.modules:
        return None
    from papa.benchmark.machine import memory_advice

    return memory_advice(error, task)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    os.environ["MPLBACKEND"] = "agg"  # in a notebook it may name a backend that is not installed here
    try:
        args.run(args)
    except PapaError as error:
        print(f"papa {args.command}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 1
    except RuntimeError as error:
        if (advice := out_of_memory(error, getattr(args, "task", None))) is None:
            raise
        print(f"papa {args.command}: {advice}", file=sys.stderr)
        return 2
    except OSError as error:
        place = f" {error.filename}" if error.filename else ""
        print(
            f"papa {args.command}: cannot read or write{place}: {error.strerror or error}. What is finished is kept. "
            "Give permission there or free disk space, then run the same command again.",
            file=sys.stderr,
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
