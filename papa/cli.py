"""The `papa` command: argument parsing and error reporting."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

import papa.commands
from papa.errors import PapaError


def positive(text: str) -> int:
    """An integer of 1 or more."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="papa",
        description="Align diffusion models to one user's preferences, and measure it. `snakemake --cores all` calls "
        "these commands in order.",
    )
    root.add_argument("--version", action="version", version=f"papa {papa.__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _run_commands(commands)
    _result_commands(commands)
    command = _add(commands, papa.commands.labels, "check labels of existing images", config=False)
    command.add_argument("source", help="a folder with liked/ and disliked/, or a .csv, .jsonl or .parquet file")
    command.add_argument("--user", help="the user whose rows of a .parquet file are read")
    _serve_command(commands)
    _add(commands, papa.commands.schema, "print the JSON schema of the configuration", config=False)
    return root


Commands = argparse._SubParsersAction


def _add(
    commands: Commands, run: Callable[[argparse.Namespace], None], help: str, config: bool = True
) -> argparse.ArgumentParser:
    """The parser of a command, which has the name of its function."""
    command = commands.add_parser(run.__name__, help=help, description=f"{help[0].upper()}{help[1:]}.")
    command.set_defaults(run=run)
    if config:
        command.add_argument("--config", default="config.yaml", help="configuration file (default: %(default)s)")
        replaced = 'settings that replace those of the file, e.g. \'{"device": "cpu"}\''
        command.add_argument("--override", metavar="JSON", help=replaced)
    return command


def _threads(command: argparse.ArgumentParser) -> None:
    command.add_argument("--threads", type=positive, default=1, help="CPU threads (default: %(default)s)")


def _axes(command: argparse.ArgumentParser, required: bool) -> None:
    command.add_argument("--task", required=required, help="task label in the grid")
    command.add_argument("--method", required=required, help="method label in the grid")
    command.add_argument("--user", required=required, nargs="+", help="users in the grid")
    command.add_argument("--seeds", type=int, nargs="+", help="seeds (default: all in the grid)")
    _threads(command)


def _run_commands(commands: Commands) -> None:
    _add(commands, papa.commands.doctor, "show what is missing (weights, device, folders) and how long the runs take")
    command = _add(commands, papa.commands.prepare, "check the artefacts of a task")
    command.add_argument("--task", required=True, help="task label")
    _threads(command)
    command = _add(commands, papa.commands.base, "sample the base model; all methods and users share these samples")
    command.add_argument("--task", required=True, help="task label")
    command.add_argument("--seeds", type=int, nargs="+", required=True, help="seeds")
    _threads(command)
    command = _add(commands, papa.commands.align, "align and measure runs; finished ones are skipped")
    _axes(command, required=False)
    command.add_argument("--force", action="store_true", help="delete these runs first and make them again")
    command = _add(commands, papa.commands.personal, "run the study of personal models (PPD) on simulated users")
    command.add_argument("--pairs", action="store_true", help="write the users' choices in Pick-a-Pic's format instead")
    _threads(command)
    command = _add(commands, papa.commands.export, "write aligned models as folders that diffusers loads")
    _axes(command, required=True)
    command.add_argument("--to", metavar="DIR", required=True, help="the folder, or the parent of one folder per seed")


def _result_commands(commands: Commands) -> None:
    _add(commands, papa.commands.collect, "verify all runs and write the long table results/runs.parquet")
    command = _add(commands, papa.commands.make, "make a table, a figure, the claims, the page or tuned settings")
    command.add_argument("name", help="T1, F1, ..., claims, page, or tuning")
    command.add_argument("--available", action="store_true", help="leave out runs that are missing")
    command = _add(commands, papa.commands.reference, "compare results with reference results")
    command.add_argument(
        "verb",
        choices=["write", "check", "submit", "rank"],
        help="write: keep the results as reference results; check: compare the results with the reference, cell by "
        "cell; submit: bundle the runs of one method; rank: rank the method of a bundle among those of the reference",
    )
    command.add_argument("bundle", nargs="?", help="submit, rank: the zip file of a bundle")
    command.add_argument("--method", help="submit: method label")
    command.add_argument("--reference", metavar="DIR", help="folder of the reference (default: reference/CONFIG)")


def _serve_command(commands: Commands) -> None:
    about = "rate images in the browser, on this machine (docs/serve.md)"
    command = _add(commands, papa.commands.serve, about, config=False)
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
        if "torch" not in sys.modules:
            raise
        from papa.benchmark.machine import memory_advice

        if (advice := memory_advice(error, getattr(args, "task", None))) is None:
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
