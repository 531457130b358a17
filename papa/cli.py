"""The `papa` command: its arguments, and what becomes of an error. The stages are in `papa.commands`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from papa import __version__
from papa.commands import results, runs, without_runs
from papa.errors import PapaError


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
    stages = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def alone(name: str, run: Callable[[argparse.Namespace], None], help: str) -> argparse.ArgumentParser:
        """A command that needs no experiment."""
        command = stages.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        command.set_defaults(run=run)
        return command

    def add(name: str, run: Callable[[argparse.Namespace], None], help: str) -> argparse.ArgumentParser:
        command = alone(name, run, help)
        command.add_argument("--config", default="config.yaml", help="configuration file (default: %(default)s)")
        command.add_argument(
            "--override", metavar="JSON", help='top-level settings that win, e.g. \'{"device": "cpu"}\''
        )
        return command

    def of_runs(command: argparse.ArgumentParser, required: bool) -> None:
        command.add_argument("--task", required=required, help="task, as in the configuration's grid")
        command.add_argument("--method", required=required, help="method label, as in the configuration")
        command.add_argument("--user", required=required, nargs="+", help="users, as in the configuration's grid")
        command.add_argument("--seeds", type=int, nargs="+", help="seeds (default: all of the grid)")

    def job(command: argparse.ArgumentParser) -> None:
        command.add_argument("--threads", type=positive, default=1, help="CPU threads (default: %(default)s)")
        command.add_argument("--stamp", metavar="FILE", help="file to write when everything is done")
        command.add_argument("--generation", type=int, default=0, help="number that the stamp says (for the workflow)")

    command = add("prepare", runs.prepare, "check a task's artefacts against their sha256, or train them again")
    command.add_argument("--task", required=True, help="task name")
    command.add_argument("--retrain", action="store_true", help="train the artefacts again and replace them")
    command.add_argument("--part", help="with --retrain: only this part, for example ppd of fruits")
    command.add_argument("--steps", type=positive, help="with --retrain: training steps, instead of the recipe's")
    command.add_argument(
        "--data", metavar="FOLDER", help="with --retrain: IDX files to train on (mnist, fashion_mnist)"
    )
    command.add_argument(
        "--download", action="store_true", help="with --retrain and --data: fetch the files to that folder first"
    )
    command.add_argument(
        "--size", choices=["small", "paper"], help="with --retrain: of mnist's base model; paper is for a GPU"
    )
    command.add_argument(
        "--precision",
        choices=["float32", "bfloat16"],
        help="with --retrain: of mnist's training; bfloat16 is faster on a GPU, and on a CPU with AMX or AVX512_BF16",
    )
    command.add_argument(
        "--onwards", action="store_true", help="with --retrain: train mnist's base model further, not a new one"
    )
    job(command)
    command = add("base", runs.base, "draw the base samples of a task, shared by all methods and users")
    command.add_argument("--task", required=True, help="task name")
    command.add_argument("--seeds", type=int, nargs="+", required=True, help="seeds")
    job(command)
    command = add("align", runs.align, "run alignments and measure them; finished ones are skipped")
    of_runs(command, required=True)
    command.add_argument("--force", action="store_true", help="delete the chosen runs first and make them again")
    job(command)
    command.add_argument("--cores", type=positive, help="say how long the rest of the grid takes on so many cores")
    command = add(
        "score", runs.score, "measure finished runs again where a measure changed; `align` measures them as well"
    )
    of_runs(command, required=False)
    command.add_argument("--threads", type=positive, default=1, help="CPU threads (default: %(default)s)")
    command = add(
        "export", runs.export, "write aligned models as folders that diffusers loads, replaying their feedback"
    )
    of_runs(command, required=True)
    command.add_argument("--to", metavar="DIR", required=True, help="folder to write (one seed), or to put seeds in")
    command.add_argument("--threads", type=positive, default=1, help="CPU threads (default: %(default)s)")
    command = add("personal", runs.personal, "draw for many simulated persons with the personal model, and measure")
    command.add_argument(
        "--pairs", action="store_true", help="write what the persons chose instead, in Pick-a-Pic's layout"
    )
    command.add_argument("--threads", type=positive, default=1, help="CPU threads (default: %(default)s)")
    command = add("adapter", runs.adapter, "train a personal adapter for a large model, from files of pairs")
    command.set_defaults(config="config/ppd_cascade.yaml")
    command.add_argument("--threads", type=positive, default=1, help="CPU threads (default: %(default)s)")
    command = add("collect", results.collect, "verify all runs and write the long table results/runs.parquet")
    command.add_argument("--generation", type=int, default=0, help="number that the table says (for the workflow)")
    command = add("table", results.table, "write one table as CSV and Markdown")
    command.add_argument("name", help="for example T1")
    command = add("plot", results.plot, "draw one figure as PNG and PDF")
    command.add_argument("name", help="for example F1")
    add("reference", results.reference, "keep a finished experiment as reference results, in reference/")
    command = add("check", results.check, "compare the runs with reference results, cell by cell")
    command.add_argument("--reference", metavar="DIR", help="folder of reference results (default: reference/CONFIG)")
    command = add("submit", results.submit, "bundle the runs of one method, to be ranked beside a reference")
    command.add_argument("--method", required=True, help="method label, as in the configuration")
    command.add_argument("--to", metavar="FILE", required=True, help="zip file to write")
    command = add("rank", results.rank, "rank the method of a bundle among those of reference results")
    command.add_argument("bundle", help="what `papa submit` wrote")
    command.add_argument("--reference", metavar="DIR", help="folder of reference results (default: reference/CONFIG)")
    serve_arguments(stages)
    add("tune", results.tune, "choose the settings of each candidate of a search (config/tuning.yaml)")
    add("claims", results.claims, "give a verdict on every claim of the papers")
    add("page", results.page, "put what came out, all figures, tables and claims on one page, results/index.html")
    add("doctor", without_runs.doctor, "say what is missing before anything starts: weights, device, disk")
    command = alone(
        "labels", without_runs.labels, "read labels of pictures that exist already, and say what is in there"
    )
    command.add_argument("source", help="a folder with liked/ and disliked/, or a .csv, .jsonl or .parquet file")
    command.add_argument("--user", help="whose rows of a .parquet file")
    add("schema", without_runs.schema, "print the JSON schema of the configuration")
    return root


def serve_arguments(stages: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of `papa serve`, which takes no configuration."""
    about = "rate images in the browser, on this machine (docs/serve.md)"
    command = stages.add_parser("serve", help=about, description=about[0].upper() + about[1:] + ".")
    command.set_defaults(run=without_runs.serve)
    command.add_argument("--model", metavar="FOLDER", help="a diffusers pipeline, docs/models.md (default: fruits)")
    command.add_argument("--prompt", metavar="TEXT", help="prompt, for a text-to-image model")
    command.add_argument("--given", metavar="SOURCE", help="start from images that are rated already (docs/labels.md)")
    command.add_argument("--given-user", metavar="USER", help="whose rows of a parquet file")
    command.add_argument("--method", default="papa", help="name of the method (default: %(default)s)")
    command.add_argument("--settings", metavar="JSON", default="{}", help="its settings, e.g. '{\"c_qpde\": 0.5}'")
    command.add_argument("--labels", type=positive, default=80, help="images to rate (default: %(default)s)")
    command.add_argument("--per-round", type=positive, default=8, help="images per round (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="random seed (default: %(default)s)")
    command.add_argument("--log", metavar="FILE", default="me.jsonl", help="log of all answers; resumed if it exists")
    command.add_argument("--pairs", action="store_true", help="compare two images at a time")
    command.add_argument("--steps", type=positive, help="denoising steps (default: 10 for fruits, 25 otherwise)")
    command.add_argument("--guidance", type=float, help="guidance scale (default: 2 for fruits, 7.5 otherwise)")
    command.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    command.add_argument("--host", default="127.0.0.1", help="address to listen at; any other needs --token")
    command.add_argument("--port", type=int, default=8000, help="port; 0 for any free one (default: %(default)s)")
    command.add_argument("--token", help="secret of at least 16 characters in the page's address")
    command.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[], help="host name of a proxy in front (repeatable)"
    )


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
    except KeyboardInterrupt:
        print(f"papa {args.command}: interrupted. What is finished is kept.", file=sys.stderr)
        return 130
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
