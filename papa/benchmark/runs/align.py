"""One alignment run: a session with a simulated user, and the samples that are measured.

While a run is in progress, its session's log and the cost of each round are kept in a hidden folder beside its place. A
killed run continues at the round that it had reached; no answered round is asked again.
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
from papa.benchmark.runs.record import LOG, Evaluations, Meta, csv_bytes, npz_bytes, write_record
from papa.benchmark.specs import RunSpec
from papa.benchmark.tasks.interface import Task
from papa.benchmark.users import user_of
from papa.benchmark.users.interface import User
from papa.errors import DivergedError
from papa.feedback import Feedback, Question
from papa.files import cannot_write, write_json
from papa.rng import Stream
from papa.session import Round, Session

Log = Callable[[str], None]


def open_session(spec: RunSpec, task: Task, oracle: Any = None, log: Path | None = None) -> Session:
    """The session of a run. Only controls receive the user's true preference."""
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


@dataclass
class RunRecorder:
    """Everything that is recorded of a run in progress.

    Attributes:
        work: the folder of the run in progress, with the seconds that were measured before a kill.
        images: arrays of `samples.npz`, packed.
        shown: the items of each round, packed.
        rounds: rows of `rounds.csv`.
        trace: rows of `trace.csv`.
        seconds: time for the samples that are measured.
        spent: seconds of learning so far.
        peak: peak memory so far, MiB.
    """

    work: Path
    images: dict[str, np.ndarray] = field(default_factory=dict)
    shown: list[np.ndarray] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    trace: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"round_samples": 0.0, "retention_samples": 0.0})
    spent: float = 0.0
    peak: float = 0.0
    since: float = field(default_factory=time.monotonic)

    def record_round(self, happened: Round, session: Session) -> None:
        """Record a round with the method's cost so far; a replayed round has the seconds that were measured then."""
        h, method = happened.question.round + 1, session.method
        file = self.work / f"round{h:03d}.json"
        self.spent, self.peak = self.spent + time.monotonic() - self.since, max(self.peak, peak_memory_mib())
        if happened.replayed and file.exists():
            kept = json.loads(file.read_text(encoding="utf-8"))
            self.spent, self.peak = kept["spent"], max(self.peak, kept["peak"])
        write_json(file, {"spent": self.spent, "peak": self.peak})
        self.shown.append(session.model.pack(happened.question.images))
        self.rounds.append({"round": h, **asdict(method.cost), **method.diagnostics(), "seconds": self.spent})
        self.trace += [{"round": h} | step for step in method.trace()]
        self.since = time.monotonic()

    def sample(self, name: str, kind: str, session: Session, n: int) -> None:
        """n samples for measuring. They cost the method nothing: its counters are put back."""
        began, cost = time.monotonic(), session.method.cost
        before = asdict(cost)
        self.images[name] = session.model.pack(session.sample(n))
        for counter, value in before.items():
            setattr(cost, counter, value)
        self.seconds[kind] = self.seconds.get(kind, 0.0) + time.monotonic() - began
        self.since = time.monotonic()

    def files(self) -> dict[str, bytes]:
        """The files of the record beside `run.json`; the log of the session is the record of the answers."""
        shown = np.concatenate(self.shown) if self.shown else np.zeros(0)
        files = {
            "samples.npz": npz_bytes(self.images | {"shown": shown}),
            LOG: (self.work / LOG).read_bytes(),
            "rounds.csv": csv_bytes(self.rounds),
        }
        return files | ({"trace.csv": csv_bytes(self.trace)} if self.trace else {})


def work_folder(spec: RunSpec) -> Path:
    """The log folder of a run in progress; each run key has its own folder."""
    return spec.folder.with_name(f".{spec.folder.name}.{spec.key}")


def forget(spec: RunSpec) -> None:
    """Delete a run, finished or in progress, with all of its answers."""
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
    user = user_of(spec.who)
    user.calibrate(task)
    recorder, status, reason = RunRecorder(work), "done", None
    with open_session(spec, task, user.preference, work / LOG) as session:
        try:
            learn(spec, session, user, recorder, log)
            learning = asdict(session.method.cost)
            sample_final(spec, session, task, user, recorder)
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
            labels=sum(map(len, recorder.shown)),
            learning=Evaluations(**learning),
            total=Evaluations(**asdict(session.method.cost)),
            seconds={"total": time.monotonic() - start, "cpu": time.process_time() - cpu, **recorder.seconds},
            peak_memory_mib=max(recorder.peak, peak_memory_mib()),
            device=task.device,
            machine=this_machine(),
            weights=spec.weights,
        )
        write_record(spec.folder, recorder.files(), meta)
    shutil.rmtree(work, ignore_errors=True)


def learn(spec: RunSpec, session: Session, user: User, recorder: RunRecorder, log: Log) -> None:
    """The rounds, with samples after each but the last, whose samples are the final ones."""
    answer_noise = Stream(spec.config.root_seed).at(spec.task, "whims", spec.user, seed=spec.seed)

    def answer(question: Question) -> Feedback:
        noise, progress = answer_noise.at(round=question.round), question.round / session.rounds
        return user.answer(question.images, question.kind, noise, progress)

    if session.logged:
        log(f"{spec.folder}: continuing after round {session.logged} of {session.rounds}")
    recorder.since = time.monotonic()
    for happened in session.play(answer):
        recorder.record_round(happened, session)
        if (h := happened.question.round + 1) < session.rounds and h % spec.of.measures.curve_every == 0:
            recorder.sample(f"round_{h:02d}", "round_samples", session, spec.of.measures.per_round)
        preference = happened.feedback.preference
        log(f"{spec.folder}: round {session.round}/{session.rounds}, liked {np.nansum(preference):g}/{len(preference)}")


def sample_final(spec: RunSpec, session: Session, task: Task, user: User, recorder: RunRecorder) -> None:
    """The final samples, those of one request, and those under another prompt (not for controls)."""
    began = time.monotonic()
    recorder.images["final"] = session.model.pack(session.sample(spec.final))
    recorder.trace += [{"round": "final"} | step for step in session.method.trace()]
    recorder.seconds["final_samples"] = time.monotonic() - began
    recorder.sample("served", "served_samples", session, spec.of.measures.served)
    other = None if spec.settings.needs_oracle else task.retention(user.classes)
    if other is not None:
        with session.model.prompted(other[0]):
            recorder.sample("retention", "retention_samples", session, spec.of.measures.retention)
