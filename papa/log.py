"""The log of a session: each answered round is on the disk before the method learns from it, and is replayed later.

`docs/sessions.md` describes the format, and which logs are refused.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock, Timeout

from papa.errors import AnswerError, SessionError
from papa.feedback import Feedback, Question, pairs_of, preference_of
from papa.files import cannot_write

VERSION = 1
"""Version of the log's format."""
SAME = 0.05
"""Largest difference between a mark of a replayed item and the logged one, relative to the largest mark if that is
above 1. Rounding on another machine stays below it."""
FEW = 3
"""Number of differences that an error names."""
REMEDY = "keep a copy of it, delete it or give another log, and start again."


class Log:
    """The answers of one session: a line that identifies it, one with the labels it began with, and one for each round.

    Args:
        file: created if missing.
        about: entries of the first line; a log with others is refused.
        given: the second line (`papa.labels.encode`), of a session that begins with labels of existing images.
    """

    def __init__(self, file: Path, about: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> None:
        self.file = file
        self.given: dict[str, Any] | None = None
        self._writing = threading.Lock()
        # The lock is the process's, not a thread's: a server may open a session in one thread and close it in another.
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
            self.rounds = self._read({"papa": VERSION, **json.loads(json.dumps(dict(about)))})
            self._begin(given)
        except BaseException:
            self.close()
            raise

    def _read(self, head: dict[str, Any]) -> list[dict[str, Any]]:
        """The answered rounds. A last line that a killed process left unfinished is cut off."""
        first = json.dumps(head)
        try:
            data = self.file.read_bytes() if self.file.exists() else b""
        except OSError as error:
            raise SessionError(
                f"cannot read the session log {self.file} ({error.strerror or error}); give read permission there, or "
                "another log."
            ) from error
        whole = data[: data.rfind(b"\n") + 1]
        if not whole:
            if not first.encode().startswith(data):  # a file that is no log must not be overwritten
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
        before = 1
        if len(lines) > 1 and isinstance(lines[1], dict) and "given" in lines[1]:
            self.given, before = lines[1], 2
        for index, line in enumerate(lines[before:]):
            if not isinstance(line, dict) or line.get("round") != index or not isinstance(line.get("preference"), list):
                raise SessionError(f"the session log {self.file} is damaged in line {index + before + 1}; {REMEDY}")
        if len(whole) < len(data):
            self._write("", truncate=len(whole))
        return lines[before:]

    def _begin(self, given: Mapping[str, Any] | None) -> None:
        """Write the labels that a new session begins with, or compare them with those of the log."""
        if given is not None and self.given is None and not self.rounds:
            self._write(json.dumps(given, allow_nan=False))
            self.given = dict(given)
            return
        try:
            differs = differences(_named(self.given), _named(given))
            same = given is None or self.given is None or near(self.given["marks"], given["marks"])
        except (KeyError, TypeError, ValueError) as error:
            raise SessionError(f"the session log {self.file} is damaged in line 2 ({error!r}); {REMEDY}") from None
        if differs or not same:
            raise SessionError(
                f"the session log {self.file} began with other labels: "
                f"{differs or 'this model sees the images in another size or crop'}. Give the labels that the session "
                "began with, or another log."
            )

    def append(self, question: Question, feedback: Feedback) -> None:
        """Write a round; it is on the disk when this returns, or the log is unchanged."""
        line = log_line(question, feedback)
        with self._writing:
            if not self._lock.is_locked:
                raise SessionError(f"this session was closed; open it again with the log {self.file}.")
            self._write(json.dumps(line, allow_nan=False))
            self.rounds.append(line)

    def _write(self, line: str, truncate: int | None = None, mode: Literal["r+b", "ab"] = "r+b") -> None:
        """Append a line, or none; if that fails, the log stays as it was.

        Unbuffered: a buffer would keep what did not fit on a full disk and write it at the next step.
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

    def compare(self, line: Mapping[str, Any], question: Question) -> None:
        """Check that a replayed question is the one that was answered."""
        place = f"round {line['round'] + 1} of {self.file}"
        try:
            same = near(line["marks"], question.marks)
        except (KeyError, TypeError, ValueError) as error:
            raise SessionError(f"{place} does not identify the answered items ({error}); {REMEDY}") from None
        wanted = {"kind": question.kind, "condition": None if question.condition is None else list(question.condition)}
        if differs := differences({name: line.get(name) for name in wanted}, wanted):
            raise SessionError(f"{place} was another question: {differs}. Use the model of the log, or another log.")
        if not same:
            raise SessionError(
                f"{place} was answered for other items than this model shows: its weights or its sampler are not those "
                "of the log. Use the model of the log, or start another log."
            )
        if len(line["preference"]) != len(question):
            raise SessionError(f"{place} has {len(line['preference'])} answers to {len(question)} items; {REMEDY}")

    def close(self) -> None:
        """Release the lock on the file."""
        with self._writing:
            self._lock.release()


def near(logged: Any, found: Any) -> bool:
    """Whether marks identify the same items, up to rounding."""
    then, now = np.array(logged, dtype=np.float64), np.array(found)
    return then.shape == now.shape and bool(np.abs(then - now).max() <= SAME * max(1.0, np.abs(then).max()))


def differences(logged: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The first few differences, for example `settings.lr is 0.1 in the log and 0.01 here`; empty if there are none."""
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


def _named(line: Mapping[str, Any] | None) -> dict[str, Any]:
    """The entries of a line of given labels, named for `differences`."""
    if line is None:
        return {"given": 0}
    named = {name: line[name] for name in ("given", "kind", "sha256")}
    for name in ("images", "preference", "pairs", "ties"):
        named |= {f"{name}[{index}]": value for index, value in enumerate(line[name] or [])}
    return named


def log_line(question: Question, feedback: Feedback) -> dict[str, Any]:
    """A round as one JSON line: unanswered items are null, `probability` is of simulated users only."""
    line: dict[str, Any] = {
        "round": question.round,
        "kind": question.kind,
        "condition": None if question.condition is None else list(question.condition),
        "preference": [None if np.isnan(value) else float(value) for value in feedback.preference],
        "pairs": None if feedback.pairs is None else feedback.pairs.tolist(),
    }
    if feedback.probability is not None:
        line["probability"] = [None if np.isnan(value) else float(value) for value in feedback.probability]
    if feedback.ties is not None:
        line["ties"] = feedback.ties.tolist()
    return line | {"marks": [list(row) for row in question.marks]}


def feedback_from(line: Mapping[str, Any], log: str | Path = "the session log") -> Feedback:
    """The feedback of a log line, as `log_line` makes it; `log` is its name in errors."""
    try:
        probability = None if line.get("probability") is None else preference_of(line["probability"])
        pairs, ties = (None if line.get(name) is None else pairs_of(line[name]) for name in ("pairs", "ties"))
        return Feedback(preference_of(line["preference"]), probability, pairs, ties)
    except (KeyError, TypeError, ValueError, AnswerError) as error:
        raise SessionError(
            f"round {line['round'] + 1} of {log} has no valid answers ({str(error).rstrip('.')}); {REMEDY}"
        ) from None
