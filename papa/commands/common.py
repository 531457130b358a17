"""What several commands begin and end with: the experiment, its task on a device, and the stamp for the workflow.

Nothing heavy is imported before a command needs it, so `papa --help` is quick.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from papa.errors import PapaError

if TYPE_CHECKING:
    from papa.benchmark.config import Config
    from papa.benchmark.grid import Grid
    from papa.benchmark.specs import TaskSpec
    from papa.benchmark.tasks.interface import Task


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


def open_task(of: TaskSpec, config: Config, threads: int, device: str | None = None) -> Task:
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
        from papa.models.pipeline import silence_logging

        silence_logging()
    return of.declaration.load()(of.settings, chosen, Path(config.results, of.label, "real"))


def stamp(args: argparse.Namespace, text: str) -> None:
    """Write the stamp that tells the workflow that this stage is done."""
    from papa.files import write_atomic

    if args.stamp:
        write_atomic(Path(args.stamp), f"generation {args.generation}\n{text}\n")
