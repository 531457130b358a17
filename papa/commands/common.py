"""Shared by several commands: the experiment, and its task on a device.

Nothing heavy is imported before a command needs it, so `papa --help` is fast.
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
    """Print one line of progress on standard error."""
    print(message, file=sys.stderr, flush=True)


def overrides(args: argparse.Namespace) -> dict[str, Any]:
    """The settings of `--override`."""
    try:
        given = json.loads(args.override) if args.override else {}
        if not isinstance(given, dict):
            raise ValueError("no object")
    except ValueError as error:
        raise PapaError(f'--override is no JSON object ({error}); write it like \'{{"device": "cpu"}}\'.') from None
    return given


def load_grid(args: argparse.Namespace) -> Grid:
    """The grid of `--config` and `--override`."""
    from papa.benchmark import grid

    return grid.load(args.config, overrides(args))


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
