"""One alignment run: a session with a simulated user, and the samples that are measured.

While a run is in progress, its session's log and the cost of each round are kept beside its place. A killed run goes on
at the round that it had reached; no answered round is asked again.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from papa.benchmark.machine import peak_memory_mib, reset_peak_memory, this_machine
from papa.benchmark.runs.base_samples import reader, stream_of
from papa.benchmark.runs.record import Evaluations, Meta, csv_bytes, jsonl_bytes, npz_bytes, write_record
from papa.benchmark.specs import RunSpec
from papa.benchmark.tasks.interface import Task
from papa.benchmark.users import user_of
from papa.benchmark.users.interface import User
from papa.errors import DivergedError
from papa.feedback import Feedback, Question
from papa.files import cannot_write, write_json
from papa.log import log_line
from papa.rng import Stream
from papa.session import Round, Session

Log = Callable[[str], None]


def build_user(spec: RunSpec, task: Task) -> User:
    """The user of a run, with noise on the answers where asked for."""
    user = user_of(spec.who)
    user.calibrate(task)
    return user


def open_session(spec: RunSpec, task: Task, oracle: Any = None, log: Path | None = None) -> Session:
    """The session of a run. Only the controls that ask for it are handed the user's preference."""
    return Session(
        task.model,
        spec.algorithm,
        settings=spec.settings.model_dump(exclude_unset=True),
        seed=spec.seed,
        log=log,
        stream=stream_of(spec.base),
        base=reader(spec.base, task.model),
        oracle=oracle if spec.settings.needs_oracle else None,
        about={"key": spec.key},
    )


# ---------------------------------------------------------------- what is recorded


@dataclass
class Taken:
    """What is recorded of a run while it is in progress.

    images: arrays of `samples.npz`, packed. shown: the items of each round, packed. lines, rounds, trace: rows of
    `feedback.jsonl`, `rounds.csv` and `trace.csv`. seconds: what drawing for the measures took. peak: MiB.
    """

    images: dict[str, np.ndarray] = field(default_factory=dict)
    shown: list[np.ndarray] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    trace: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float | None] = field(
        default_factory=lambda: (
            {"round_samples": 0.0, "final_samples": None, "served_samples": None} | {"retention_samples": 0.0}
        )
    )
    peak: float = 0.0

    def files(self) -> dict[str, bytes]:
        """The files of the record beside `run.json`."""
        shown = np.concatenate(self.shown) if self.shown else np.zeros(0)
        files = {
            "samples.npz": npz_bytes(self.images | {"shown": shown}),
            "feedback.jsonl": jsonl_bytes(list(self.lines)),
            "rounds.csv": csv_bytes(self.rounds),
        }
        return files | ({"trace.csv": csv_bytes(self.trace)} if self.trace else {})


class Clock:
    """The cost of each round, kept beside the session's log, so that a resumed run has the seconds that were measured.

    spent: seconds of learning so far. peak: memory so far, MiB.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self.spent, self.peak, self._since = folder, 0.0, 0.0, time.monotonic()

    def start(self) -> None:
        """Measure from here on."""
        self._since = time.monotonic()

    def round(self, index: int, replayed: bool) -> float:
        """The seconds of learning up to the end of a round: as measured when it was answered, or by the clock."""
        file, now = self._folder / f"round{index:03d}.json", time.monotonic()
        self.spent, self.peak = self.spent + now - self._since, max(self.peak, peak_memory_mib())
        if replayed and file.exists():
            kept = json.loads(file.read_text(encoding="utf-8"))
            self.spent, self.peak = kept["spent"], max(self.peak, kept["peak"])
        write_json(file, {"spent": self.spent, "peak": self.peak})
        return self.spent


# ---------------------------------------------------------------- the run


def work_folder(spec: RunSpec) -> Path:
    """Where a run in progress keeps its log; a run with another key has another folder."""
    return spec.folder.with_name(f".{spec.folder.name}.{spec.key}")


def forget(spec: RunSpec) -> None:
    """Delete a run, finished or in progress, with all of its answers.

    Raises:  PapaError where it cannot be deleted.
    """
    for folder in (spec.folder, work_folder(spec)):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise cannot_write(folder, error) from error


def align(spec: RunSpec, task: Task, log: Log) -> None:
    """Run one alignment and store its record. Errors are raised; divergence is data (`status`)."""
    reset_peak_memory()
    start, cpu, work = time.monotonic(), time.process_time(), work_folder(spec)
    user = build_user(spec, task)
    taken, status, reason = Taken(), "done", None
    with open_session(spec, task, user.preference, work / "log.jsonl") as session:
        try:
            learn(spec, session, user, taken, Clock(work), log)
            learning = asdict(session.method.cost)
            draw_final(spec, session, task, user, taken)
        except DivergedError as error:
            status, reason, learning = "diverged", str(error), asdict(session.method.cost)
            log(f"{spec.folder}: diverged ({reason})")
        meta = Meta(
            kind="run",
            key=spec.key,
            task=spec.task,
            method=spec.method,
            algorithm=spec.algorithm,
            user=spec.user,
            seed=spec.seed,
            asked=spec.described,
            status=status,
            reason=reason,
            labels=int(sum(len(line["preference"]) for line in taken.lines)),
            learning=Evaluations(**learning),
            total=Evaluations(**asdict(session.method.cost)),
            seconds={"total": time.monotonic() - start, "cpu": time.process_time() - cpu, **taken.seconds},
            peak_memory_mib=max(taken.peak, peak_memory_mib()),
            device=task.device,
            machine=this_machine(),
            weights=spec.weights,
        )
        write_record(spec.folder, taken.files(), meta)
    shutil.rmtree(work, ignore_errors=True)


def learn(spec: RunSpec, session: Session, user: User, taken: Taken, clock: Clock, log: Log) -> None:
    """The rounds, with samples after each but the last, whose samples are the final ones."""
    answer_noise = Stream(spec.config.root_seed).at(spec.task, "whims", spec.user, seed=spec.seed)

    def answer(question: Question) -> Feedback:
        noise, progress = answer_noise.at(round=question.round), question.round / session.rounds
        return user.answer(question.images, question.kind, noise, progress)

    if session.logged:
        log(f"{spec.folder}: going on after round {session.logged} of {session.rounds}")
    clock.start()
    for happened in session.play(answer):
        note(happened, session, taken, clock)
        if (h := happened.question.round + 1) < session.rounds and h % spec.of.measures.curve_every == 0:
            began = time.monotonic()
            taken.images[f"round_{h:02d}"] = measured(session, spec.of.measures.per_round)
            taken.seconds["round_samples"] = (taken.seconds["round_samples"] or 0.0) + time.monotonic() - began
            clock.start()
        preference = happened.feedback.preference
        log(f"{spec.folder}: round {session.round}/{session.rounds}, liked {np.nansum(preference):g}/{len(preference)}")


def note(happened: Round, session: Session, taken: Taken, clock: Clock) -> None:
    """Record a round, with the method's cost so far (without samples for measuring)."""
    h, method = happened.question.round + 1, session.method
    taken.lines.append(log_line(happened.question, happened.feedback))
    taken.shown.append(session.model.pack(happened.question.images))
    row = {"round": h, **asdict(method.cost), **method.diagnostics()}
    taken.rounds.append(row | {"seconds": clock.round(h, happened.replayed)})
    taken.trace += [{"round": h} | step for step in method.trace()]
    taken.peak = clock.peak


def draw_final(spec: RunSpec, session: Session, task: Task, user: User, taken: Taken) -> None:
    """The final samples of the aligned result, those of one request, and those under another prompt.

    Controls are not aligned models, so they have none under another prompt.
    """
    began = time.monotonic()
    taken.images["final"] = session.model.pack(session.sample(spec.of.measures.final_of(spec.settings.candidates)))
    taken.trace += [{"round": "final"} | step for step in session.method.trace()]
    taken.seconds["final_samples"] = time.monotonic() - began
    began = time.monotonic()
    taken.images["served"] = measured(session, spec.of.measures.served)
    taken.seconds["served_samples"] = time.monotonic() - began
    other = None if spec.settings.needs_oracle else task.retention(user.classes)
    if other is not None:
        began = time.monotonic()
        with session.model.prompted(other[0]):
            taken.images["retention"] = measured(session, spec.of.measures.retention)
        taken.seconds["retention_samples"] = time.monotonic() - began


def measured(session: Session, n: int) -> np.ndarray:
    """n samples for measuring. They cost the method nothing: its counters are put back."""
    cost = session.method.cost
    before = asdict(cost)
    images = session.model.pack(session.sample(n))
    for name, value in before.items():
        setattr(cost, name, value)
    return images
