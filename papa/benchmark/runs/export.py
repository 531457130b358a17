"""Export of an aligned model: the session of a run is replayed from its recorded answers, and saved as a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from papa.benchmark.runs.align import open_session
from papa.benchmark.runs.record import read_record
from papa.benchmark.specs import RunSpec
from papa.benchmark.tasks.interface import Task
from papa.errors import PapaError
from papa.log import feedback_from
from papa.session import Session

SAME = 2
"""Grey levels of 255 by which a replayed image may differ from the stored one (rounding of another machine)."""


def replayed(spec: RunSpec, task: Task) -> tuple[Session, int]:
    """The session of a finished run as it was at the end.

    Returns:
        The session, and the largest difference in grey levels between its images and the stored ones.
    """
    record = read_record(spec.folder, spec.key)
    if record.meta.status != "done" or spec.settings.needs_oracle:
        raise PapaError(f"{spec.folder} has no aligned model (it is a control, or it diverged); choose another run.")
    session = open_session(spec, task)
    session.method.aligned()  # a method without a network raises before anything is sampled
    lines = record.rounds()
    rounds = session.play(lambda question: feedback_from(lines[question.round]))
    again = np.concatenate([task.model.pack(happened.question.images) for happened in rounds])
    return session, int(np.abs(again.astype(int) - record.arrays()["shown"].astype(int)).max())


def export(spec: RunSpec, task: Task, folder: Path, log: Callable[[str], None]) -> None:
    """Write the aligned model of a run as a folder that diffusers loads; an existing export of it is kept."""
    with suppress(OSError, ValueError):
        about: Any = json.loads((folder / "papa.json").read_text(encoding="utf-8"))
        if isinstance(about, dict) and (about.get("key"), about.get("seed")) == (spec.key, spec.seed):
            log(f"{folder}: already there")
            return
    session, difference = replayed(spec, task)
    if difference > SAME:
        log(
            f"{spec.folder}: replayed images differ from the stored ones by up to {difference} of 255 grey levels; "
            "this machine rounds differently, so the model is close to that of the run, not the same"
        )
    session.save(folder, {"task": spec.task, "method": spec.method, "user": spec.user})
    log(f"{folder}: written, as after {spec.settings.labels} labels of {spec.folder}")
