"""One alignment run: build the method and the user, run the loop, store the record."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from papa.benchmark.grid import PoolSpec, RunSpec
from papa.benchmark.machine import git_commit, peak_memory_mib, reset_peak_memory, versions
from papa.benchmark.registry import METHODS
from papa.benchmark.runs.base_samples import base_stream, pool_reader
from papa.benchmark.runs.key import artefact_hashes
from papa.benchmark.runs.record import is_complete, npz_bytes, write_record
from papa.benchmark.tasks.interface import Task
from papa.benchmark.users.interface import NoisyUser, User
from papa.diffusion.denoiser import DiffusionDivergedError
from papa.methods.interface import Method
from papa.rng import Stream
from papa.session import interact, log_line

Log = Callable[[str], None]


def build_user(spec: RunSpec, task: Task) -> User:
    """The user of a run, with noise on the answers where asked for."""
    user: User = spec.user_entry.load()
    wrapped = spec.user_settings
    if wrapped.flip or wrapped.missing:
        user = NoisyUser(user, wrapped.flip, wrapped.missing)
    user.meet(task)
    return user


def build_method(spec: RunSpec, pool: PoolSpec, task: Task, user: User) -> Method[Any]:
    """The method of a run. Only the controls that ask for it are handed the user's liking."""
    stream = base_stream(spec.config.root_seed, spec.task, spec.seed)
    oracle = user.liking if spec.settings.wants_oracle else None
    return METHODS[spec.algorithm].load()(spec.settings, task, stream, pool_reader(pool, task), oracle)


@dataclass
class Taken:
    """What is taken down of a run while it goes on.

    images: arrays of `samples.npz`, packed. shown: the items of each round, packed. lines, rounds, trace: rows of
    `feedback.jsonl`, `rounds.csv` and `trace.csv`. seconds: what drawing for the measures took.
    """

    images: dict[str, np.ndarray] = field(default_factory=dict)
    shown: list[np.ndarray] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    trace: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(
        default_factory=lambda: {"round_samples": 0.0, "final_samples": math.nan, "retention_samples": 0.0}
    )

    def files(self) -> dict[str, bytes]:
        """The files of the record beside `run.json`."""
        shown = np.concatenate(self.shown) if self.shown else np.zeros(0)
        files = {
            "samples.npz": npz_bytes(self.images | {"shown": shown}),
            "feedback.jsonl": "".join(json.dumps(line) + "\n" for line in self.lines).encode(),
            "rounds.csv": _csv(self.rounds).encode(),
        }
        return files | ({"trace.csv": _csv(self.trace).encode()} if self.trace else {})


def align(spec: RunSpec, pool: PoolSpec, task: Task, log: Log) -> None:
    """Run one alignment and store its record. Errors are raised; divergence is data (`status`)."""
    reset_peak_memory()
    start = time.monotonic()
    user = build_user(spec, task)
    method = build_method(spec, pool, task, user)
    taken, status, reason = Taken(), "done", None
    try:
        learn(spec, method, user, task, taken, start, log)
        learning = asdict(method.cost)
        draw_final(spec, method, user, task, taken)
    except DiffusionDivergedError as error:
        status, reason, learning = "diverged", str(error), asdict(method.cost)
        log(f"{spec.folder}: diverged ({reason})")
    write_record(
        spec.folder,
        taken.files(),
        {
            "kind": "run",
            "key": spec.key,
            "task": spec.task,
            "method": spec.method,
            "algorithm": spec.algorithm,
            "user": spec.user,
            "seed": spec.seed,
            "asked": spec.described,
            "status": status,
            "reason": reason,
            "labels": int(sum(len(line["liking"]) for line in taken.lines)),
            "evaluations": {"learning": learning, "total": asdict(method.cost)},
            "seconds": {"total": time.monotonic() - start, **taken.seconds},
            "peak_memory_mib": peak_memory_mib(),
            "device": task.device,
            "threads": torch.get_num_threads(),
            "versions": versions(),
            "git_commit": git_commit(),
            "weights": artefact_hashes(spec.task),
        },
    )


def learn(spec: RunSpec, method: Method[Any], user: User, task: Task, taken: Taken, start: float, log: Log) -> None:
    """The rounds, with samples after each but the last, whose samples are the final ones."""
    whims = Stream(spec.config.root_seed).at(spec.task, "whims", spec.user, seed=spec.seed)
    last, sampling = spec.settings.rounds, 0.0
    for happened in interact(method, user, task, whims, spec.settings.labels, spec.settings.per_round):
        h = happened.index + 1
        taken.lines.append(log_line(happened))
        taken.shown.append(task.pack(happened.images))
        # Costs so far are the method's own; samples for measuring stand beside them.
        row = {"round": h, **asdict(method.cost), **method.diagnostics()}
        taken.rounds.append(row | {"seconds": time.monotonic() - start - sampling})
        taken.trace += [{"round": h} | step for step in method.trace()]
        if h < last:
            began = time.monotonic()
            taken.images[f"round_{h:02d}"] = measured(method, task, spec.config.measures.per_round)
            sampling += time.monotonic() - began
            taken.seconds["round_samples"] = sampling
        liked, shown = np.nansum(happened.feedback.liking), len(happened.feedback.liking)
        log(f"{spec.folder}: round {h}/{last}, liked {liked:g} of {shown}")


def draw_final(spec: RunSpec, method: Method[Any], user: User, task: Task, taken: Taken) -> None:
    """The samples of the aligned result, and what it draws when asked for something else.

    Controls are no aligned models: they are asked for nothing else.
    """
    began = time.monotonic()
    taken.images["final"] = task.pack(task.decode(method.sample(final_count(spec, method))))
    taken.trace += [{"round": "final"} | step for step in method.trace()]
    taken.seconds["final_samples"] = time.monotonic() - began
    other = None if spec.settings.wants_oracle else task.retention(user.classes)
    if other is not None:
        began = time.monotonic()
        with task.prompted(other[0]):
            taken.images["retention"] = measured(method, task, spec.config.measures.retention)
        taken.seconds["retention_samples"] = time.monotonic() - began


def final_count(spec: RunSpec, method: Method[Any]) -> int:
    """Final samples: as asked, or as many as the base pool has candidates for (best of 16 draws fewer)."""
    measures = spec.config.measures
    return min(measures.final, max(1, measures.base // method.candidates))


def measured(method: Method[Any], task: Task, n: int) -> np.ndarray:
    """n samples for measuring. They cost the method nothing: its counters are put back."""
    before = asdict(method.cost)
    images = task.pack(task.decode(method.sample(n)))
    for name, value in before.items():
        setattr(method.cost, name, value)
    return images


def _csv(rows: list[dict[str, Any]]) -> str:
    """Rows with possibly different keys as CSV; absent values are empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def align_all(specs: list[RunSpec], pools: Callable[[RunSpec], PoolSpec], task: Task, log: Log) -> None:
    """Run what is not there yet; each finished run stays whatever happens to the next."""
    for spec in specs:
        if is_complete(spec.folder, spec.key):
            log(f"{spec.folder}: already there")
            continue
        align(spec, pools(spec), task, log)
