"""A session: a method asks, somebody answers, the method learns; and a log that outlives a crash.

    session = Session(model, "papa", labels=80, seed=0, log="me.jsonl")
    for question in session:
        session.answer([...])          # True, False, None, a grade in [0, 1]; pairs where the question asks for them
    session.sample(16)
    session.save("aligned/")

Every answered round is appended to the log and is on the disk before the method learns from it. Opening the same log
again replays it from the seed and goes on where it stopped, so nothing that a person said is ever asked twice.
`docs/sessions.md` describes the log.
"""

from __future__ import annotations

import json
import operator
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from torch import Tensor

from papa.errors import AnswerError, PapaError, SessionError, SettingsError
from papa.feedback import Feedback, Kind, Query, feedback_of, liking_of, pairs_of
from papa.files import beside, cannot_write
from papa.methods import declaration
from papa.methods.interface import Liking, Method
from papa.models.interface import Model
from papa.rng import Stream
from papa.settings import validated

VERSION = 1
"""Of the log's form."""
SAME = 0.05
"""How far a mark of a replayed item may be from the logged one: another machine's last bits move it less."""
FEW = 3
"""Differences that an error names."""


@dataclass(frozen=True)
class Question:
    """What is shown. round: counted from 0. images: (k, C, H, W) in [-1, 1], or (k, d) points."""

    round: int
    query: Query
    images: Tensor

    @property
    def kind(self) -> Kind:
        """The kind of answer that is asked for."""
        return self.query.kind

    @property
    def latents(self) -> Tensor:
        return self.query.latents

    @property
    def condition(self) -> Sequence[str] | None:
        """The prompt of each item, or None."""
        return self.query.condition

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Round:
    """A round after the method has learned from it. replayed: whether its answers came from the log."""

    question: Question
    feedback: Feedback
    replayed: bool


Answerer = Callable[[Question], Feedback | Sequence[Any]]
"""Whoever answers: a question -> one answer for each item."""


class Session:
    """One person, one model, one method.

    Args:    model: what is aligned. method: a name of the registry. labels, per_round: the budget and the items of a
             round; they win over `settings`. seed: everything follows from it and the answers. log: a file that holds
             every answer; gone on with if it is there. settings: the method's own. stream, base, oracle: as in
             `papa.methods.interface.Method`, for those who share noise and samples between sessions. about: what the
             log says beside, JSON-serializable; a log of something else is refused.
    Raises:  SettingsError for settings that do not fit. SessionError for a log that cannot be gone on with.
    """

    def __init__(
        self,
        model: Model,
        method: str,
        *,
        labels: int | None = None,
        per_round: int | None = None,
        seed: int = 0,
        log: str | Path | None = None,
        settings: Mapping[str, Any] | None = None,
        stream: Stream | None = None,
        base: Callable[[int], Tensor] | None = None,
        oracle: Liking | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        declared = declaration(method)
        given = dict(settings or {}) | {
            k: v for k, v in (("labels", labels), ("per_round", per_round)) if v is not None
        }
        self.settings = validated(declared.settings, given, method)
        if self.settings.wants_oracle and oracle is None:
            raise SettingsError(f"{method} with these settings is a control that needs the true liking; give `oracle`.")
        self.model = model
        self.method: Method[Any] = declared.load()(
            self.settings, model, stream or Stream(seed).at("session"), base, oracle
        )
        self._about = {
            "method": method,
            "settings": self.settings.model_dump(mode="json"),
            "seed": operator.index(seed),
            **dict(about or {}),
        }
        self._log = None if log is None else Log(Path(log), self._about)
        self._open: Question | None = None
        self._learning = False
        self._replaying = False

    # ------------------------------------------------------------ ask and answer

    @property
    def round(self) -> int:
        """Rounds that the method has learned from."""
        return self.method.round

    @property
    def rounds(self) -> int:
        """Rounds in all."""
        return self.settings.rounds

    @property
    def logged(self) -> int:
        """Rounds that the log holds the answers of."""
        return 0 if self._log is None else len(self._log.rounds)

    def ask(self) -> Question:
        """The next question; the same one until it is answered.

        Raises:  SessionError after the last round.
        """
        for _ in self.replay():
            pass
        if self.round >= self.rounds:
            raise SessionError(f"all {self.settings.labels} labels of this session are spent; it has no question left.")
        if self._open is None:
            self._open = self._question()
        return self._open

    def _question(self) -> Question:
        k = min(self.settings.per_round, self.settings.labels - self.round * self.settings.per_round)
        query = self.method.ask(k)
        return Question(self.round, query, self.model.decode(query.latents))

    def answer(self, answers: Feedback | Sequence[Any]) -> Round:
        """Answer the open question; the method learns from it.

        Args:    answers: one for each item: True, False, None, or a grade in [0, 1]; for pairs `(better, worse)` of
                 item numbers, or `Tie(i, j)`.
        Raises:  AnswerError for answers that do not fit; the question stays open. SessionError without a question.
        """
        if (question := self._open) is None:
            raise SessionError("there is no open question; `ask` first, or loop over the session.")
        feedback = feedback_of(answers, question.query)
        if self._log is not None:
            self._log.append(question, feedback, self.model.marks(question.images))
        self._open = None
        return self._learn(question, feedback, replayed=False)

    def _learn(self, question: Question, feedback: Feedback, replayed: bool) -> Round:
        self._learning = True  # stays so where learning is interrupted: what was learned until then is of no round
        self.method.tell(question.query, feedback)
        self._learning = False
        return Round(question, feedback, replayed)

    def __iter__(self) -> Iterator[Question]:
        """The questions that are left, one after another; each must be answered before the next."""
        for _ in self.replay():
            pass
        while self.round < self.rounds:
            question = self.ask()
            yield question
            if self._open is question:
                raise SessionError(
                    f"question {question.round + 1} was not answered; call `answer` before the next one."
                )

    def replay(self) -> Iterator[Round]:
        """Go through the answers in the log that the method has not learned from yet.

        Raises:  SessionError where the model shows other items than those that were answered, and where an error or
                 an interruption (Ctrl-C) left a round half learned.
        """
        if self._learning:
            raise SessionError(
                f"the method was interrupted while it learned from round {self.round + 1}, and what it had learned "
                "until then is not to be used. Make the session again; with a log, it goes on from there."
            )
        self._replaying = True
        try:
            while self._log is not None and self.round < min(self.logged, self.rounds):
                line = self._log.rounds[self.round]
                question, feedback = self._question(), feedback_from(line, self._log.file)
                self._log.compare(line, question, self.model.marks(question.images))
                yield self._learn(question, feedback, replayed=True)
        finally:
            self._replaying = False

    def _catch_up(self) -> None:
        """Learn what the log holds, unless somebody goes through it and looks at what was learned up to a round."""
        if not self._replaying:
            for _ in self.replay():
                pass

    def play(self, answerer: Answerer) -> Iterator[Round]:
        """Run the whole session with somebody who answers by function: rounds of the log first, then new ones."""
        yield from self.replay()
        for question in self:
            yield self.answer(answerer(question))

    # ------------------------------------------------------------ the result

    def sample(self, n: int) -> Tensor:
        """n images of the aligned result; changes nothing that was learned.

        Between the rounds of `replay` and `play`, of what was learned up to there.
        """
        self._catch_up()
        return self.model.decode(self.method.sample(n))

    def save(self, folder: str | Path, about: Mapping[str, Any] | None = None) -> Path:
        """Write the aligned model as a folder that diffusers loads, whole or not at all.

        Args:    about: what else `papa.json` says.
        Raises:  ModelError for a method or a model that has none. SessionError for a folder that is taken. PapaError
                 for a place that cannot be written.
        """
        self._catch_up()
        place = Path(folder).resolve()
        network = self.method.aligned()
        if place.is_file() or (place.is_dir() and any(place.iterdir())):
            raise SessionError(f"{folder} is there already; choose another folder, or delete it.")
        new = beside(place, "new")
        try:
            self.model.save(new, network, self._about | dict(about or {}))
            new.replace(place)
        except (OSError, SafetensorError) as error:
            raise PapaError(
                f"cannot write {folder} ({error}). The answers are kept. Free disk space or give write permission "
                "there (or choose another folder), then do the same again."
            ) from error
        finally:
            shutil.rmtree(new, ignore_errors=True)
        return place

    def close(self) -> None:
        """Let go of the log, so that another session may open it. Nothing can be answered then."""
        if self._log is not None:
            self._log.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Log:
    """The answers of one session: a line that says what it is, then a line for each answered round.

    Args:    file: made if missing. about: what the first line must say.
    Raises:  SessionError where another session has it open, or where it is of another session.
    """

    def __init__(self, file: Path, about: Mapping[str, Any]) -> None:
        self.file = file
        # Of the process and not of the thread: a server may open a session in one thread and close it in another.
        self._lock = FileLock(f"{file}.lock", thread_local=False)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise SessionError(
                f"another session, of this or of another process, has the log {file} open; close it (`close`), or give "
                "another log."
            ) from None
        except OSError as error:
            raise cannot_write(file, error) from error
        try:
            self.rounds = self._read(json.loads(json.dumps(dict(about))))
        except BaseException:
            self.close()
            raise

    def _read(self, about: dict[str, Any]) -> list[dict[str, Any]]:
        """The answered rounds; a last line that a killed process left unfinished is cut off."""
        head = {"papa": VERSION, **about}
        first = json.dumps(head)
        data = self._content()
        whole = data[: data.rfind(b"\n") + 1]
        if not whole:
            if not first.encode().startswith(data):  # somebody's file that is no log must not be written over
                raise SessionError(f"{self.file} is no session log; {REMEDY}")
            self._write(first, truncate=0, mode="ab")
            return []
        try:
            lines = [json.loads(line) for line in whole.decode("utf-8").splitlines()]
        except ValueError as error:
            raise SessionError(f"the session log {self.file} is damaged ({error}); {REMEDY}") from None
        if not isinstance(lines[0], dict) or lines[0].get("papa") != VERSION:
            raise SessionError(f"{self.file} is no session log of this version; {REMEDY}")
        if differs := differences(lines[0], head):
            raise SessionError(
                f"the session log {self.file} is of another session: {differs}. Give the settings that it was made "
                "with, or another log."
            )
        for index, line in enumerate(lines[1:]):
            if not isinstance(line, dict) or line.get("round") != index or not isinstance(line.get("liking"), list):
                raise SessionError(f"the session log {self.file} is damaged in line {index + 2}; {REMEDY}")
        if len(whole) < len(data):
            self._write("", truncate=len(whole))
        return lines[1:]

    def _content(self) -> bytes:
        try:
            return self.file.read_bytes() if self.file.exists() else b""
        except OSError as error:
            raise SessionError(
                f"cannot read the session log {self.file} ({error.strerror or error}); give it read permission, or "
                "give another log."
            ) from error

    def append(self, question: Question, feedback: Feedback, marks: list[list[float]]) -> None:
        """Write a round; it is on the disk when this returns.

        Raises:  PapaError where it cannot be written; nothing was learned then. SessionError after `close`.
        """
        if not self._lock.is_locked:
            raise SessionError(f"this session was closed; open it again with the log {self.file}.")
        line = log_line(question, feedback) | {"marks": marks}
        self._write(json.dumps(line, allow_nan=False))
        self.rounds.append(line)

    def _write(self, line: str, truncate: int | None = None, mode: Literal["r+b", "ab"] = "r+b") -> None:
        """Append a line, or nothing; a write that fails leaves the log as it was.

        Without a buffer, which would keep what a full disk did not take and try again at the next step.
        """
        try:
            with open(self.file, mode, buffering=0) as handle:
                before = handle.seek(0, os.SEEK_END) if truncate is None else truncate
                try:
                    handle.truncate(before)
                    handle.seek(before)
                    rest = memoryview((line + "\n").encode() if line else b"")
                    while rest:  # a disk that is nearly full takes a part
                        rest = rest[handle.write(rest) :]
                    os.fsync(handle.fileno())
                except OSError:
                    handle.truncate(before)
                    raise
        except OSError as error:
            raise cannot_write(self.file, error) from error

    def compare(self, line: Mapping[str, Any], question: Question, marks: list[list[float]]) -> None:
        """Whether a round that is replayed is the one that was answered.

        Raises:  SessionError where it shows other items, for another prompt, or asks for another kind of answer.
        """
        place = f"round {line['round'] + 1} of {self.file}"
        try:
            logged, found = np.array(line["marks"], dtype=np.float64), np.array(marks)
        except (KeyError, TypeError, ValueError) as error:
            raise SessionError(f"{place} does not say which items were answered ({error}); {REMEDY}") from None
        wanted = {"kind": question.kind, "condition": None if question.condition is None else list(question.condition)}
        if differs := differences({name: line.get(name) for name in wanted}, wanted):
            raise SessionError(f"{place} was another question: {differs}. Use the model of the log, or another log.")
        near = logged.shape == found.shape and np.abs(logged - found).max() <= SAME * max(1.0, np.abs(logged).max())
        if not near:
            raise SessionError(
                f"{place} was answered for other items than this model shows: its weights or its sampler are not those "
                "of the log. Use the model of the log, or start another log."
            )
        if len(line["liking"]) != len(question):
            raise SessionError(f"{place} holds {len(line['liking'])} answers to {len(question)} items; {REMEDY}")

    def close(self) -> None:
        self._lock.release()


def differences(logged: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """What a log says otherwise, in words: `settings.lr is 0.1 in the log and 0.01 here`; the first few."""
    found = [f"{name} is {then!r} in the log and {now!r} here" for name, then, now in _differing(logged, here)]
    more = len(found) - FEW
    return ", ".join(found[:FEW]) + (f", and {more} more" if more > 0 else "")


def _differing(logged: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted({*logged, *here}):
        then, now = logged.get(name), here.get(name)
        if isinstance(then, dict) and isinstance(now, dict):
            yield from ((f"{name}.{below}", *values) for below, *values in _differing(then, now))
        elif then != now:
            yield name, then, now


REMEDY = "keep a copy of it, delete it or give another log, and start again."


def log_line(question: Question, feedback: Feedback) -> dict[str, Any]:
    """A round as one JSON line.

    Keys: round, kind, condition, liking (null where unanswered), probability (of simulated users), pairs, ties.
    """
    line: dict[str, Any] = {
        "round": question.round,
        "kind": question.kind,
        "condition": None if question.condition is None else list(question.condition),
        "liking": [None if np.isnan(value) else float(value) for value in feedback.liking],
        "pairs": None if feedback.pairs is None else feedback.pairs.tolist(),
    }
    if feedback.probability is not None:
        line["probability"] = [None if np.isnan(value) else float(value) for value in feedback.probability]
    if feedback.ties is not None:
        line["ties"] = feedback.ties.tolist()
    return line


def feedback_from(line: Mapping[str, Any], log: str | Path = "the session log") -> Feedback:
    """The feedback of a log line. log: what an error names.

    Raises:  SessionError for a line that holds no answers.
    """

    try:
        probability = None if line.get("probability") is None else liking_of(line["probability"])
        pairs, ties = (None if line.get(name) is None else pairs_of(line[name]) for name in ("pairs", "ties"))
        return Feedback(liking_of(line["liking"]), probability, pairs, ties)
    except (KeyError, TypeError, ValueError, AnswerError) as error:
        raise SessionError(
            f"line {line['round'] + 2} of {log} holds no answers to a question ({str(error).rstrip('.')}); {REMEDY}"
        ) from None
