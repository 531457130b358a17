"""An aligned model as a folder: the method is built again, and told again what the user answered."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from torch import Tensor

from papa.benchmark.grid import PoolSpec, RunSpec
from papa.benchmark.registry import METHODS
from papa.benchmark.runs.base_samples import base_stream, pool_reader
from papa.benchmark.runs.record import read_arrays, verify
from papa.benchmark.tasks.interface import Task
from papa.errors import PapaError, SettingsError
from papa.methods.interface import Method
from papa.rng import Stream
from papa.session import Answer, Feedback, interact

SAME = 2
"""Grey levels of 255 by which a replayed image may differ from the stored one (another machine's last bits)."""


class Absent:
    """Who is never asked: every answer stands in the log."""

    def answer(self, images: Tensor, kind: Answer, stream: Stream) -> Feedback:
        raise PapaError("the feedback log of this run lacks a round; delete the run's folder and align again.")


def replayed(spec: RunSpec, pool: PoolSpec, task: Task) -> tuple[Method[Any], int]:
    """The method of a finished run as it was at the end.

    Returns: it, and the largest difference (grey levels) between what it showed again and what is stored.
    Raises:  RecordError where the run is not there. PapaError for a run that diverged or was told the truth.
    """
    meta = verify(spec.folder, spec.key)
    if meta["status"] != "done" or spec.settings.wants_oracle:
        raise PapaError(f"{spec.folder} holds no aligned model (it is a control, or it diverged); choose another run.")
    stream = base_stream(spec.config.root_seed, spec.task, spec.seed)
    method = METHODS[spec.algorithm].load()(spec.settings, task, stream, pool_reader(pool, task))
    method.aligned()  # a method that has no network says so before anything is drawn
    log = [json.loads(line) for line in (spec.folder / "feedback.jsonl").read_text().splitlines()]
    rounds = interact(method, Absent(), task, stream, spec.settings.labels, spec.settings.per_round, log)
    again = np.concatenate([task.pack(happened.images) for happened in rounds])
    stored = read_arrays(spec.folder / "samples.npz")["shown"]
    return method, int(np.abs(again.astype(int) - stored.astype(int)).max())


def export(spec: RunSpec, pool: PoolSpec, task: Task, folder: Path, log: Callable[[str], None]) -> None:
    """Write the aligned model of a run as a folder that `StableDiffusionPipeline.from_pretrained` loads.

    It is written beside its place and moved there, so a killed process leaves no half of a model.

    Raises:  SettingsError for a place that is taken. PapaError for a method or a task that has no pipeline to
             save, for a place that cannot be written, and as `replayed`.
    """
    place = folder.resolve()
    if place.is_file() or (place.is_dir() and any(place.iterdir())):
        raise SettingsError(f"{folder} is there already; choose another folder with --to, or delete it.")
    save: Any = getattr(task, "save", None)
    if save is None:
        raise PapaError(f"task {spec.task} is no diffusers pipeline with a prompt; export works for fruits and sd15.")
    method, difference = replayed(spec, pool, task)
    if difference > SAME:
        log(
            f"{spec.folder}: replayed images differ from the stored ones by up to {difference} of 255 grey levels; "
            "this machine rounds otherwise than the one that ran it, so the model is close to the run's, not the same"
        )
    new = place.with_name(f".{place.name}.new")
    run = {"key": spec.key, "task": spec.task, "method": spec.method, "user": spec.user, "seed": spec.seed}
    try:
        shutil.rmtree(new, ignore_errors=True)  # of an export that was killed
        save(method.aligned(), new, run)
        new.replace(place)
    except (OSError, SafetensorError) as error:
        raise PapaError(
            f"cannot write {folder} ({error}). The run is kept. Free disk space or give write permission there (or "
            "choose another folder with --to), then run the same command again."
        ) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    log(f"{folder}: written, as after {spec.settings.labels} labels of {spec.folder}")
