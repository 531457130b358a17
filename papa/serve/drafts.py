"""The draft: every keystroke of a person, on the disk before it counts.

The draft is a file of JSON lines beside the session's log. Its first line repeats the log's first line; each further
line is one step with a version, counted from 1:

    {"version": 1, "client": "a1", "seq": 1, "op": "rate", "round": 0, "item": 2, "answer": "like"}
    {"version": 2, "client": "a1", "seq": 2, "op": "confirm", "round": 0, "answers": ["skip", "skip", "like"]}
    {"version": 3, "client": "b7", "seq": 1, "op": "undo"}
    {"version": 4, "client": "", "seq": 0, "op": "cut", "round": 0}

`undo` takes the last step back. Where that was a confirmation, the round is open again and has to go from the log;
`cut` says that this was done. `reopen` does the same for a round that the draft knows nothing of (a log without a
draft), and carries its answers. A step is known by its client (one page in one tab) and that client's sequence number,
so a step that is sent twice is written once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from papa.errors import SessionError
from papa.files import AGAIN, cannot_write
from papa.log import differences

VERSION = 1
"""Version of the draft's format."""
REMEDY = "Move it away and start again: rounds that were confirmed are in the log, those of the draft alone are lost."


@dataclass(frozen=True)
class Step:
    """A step that can be taken back. item: None for a confirmation. before: the answer that `item` had."""

    round: int
    item: int | None
    before: str | None = None


class Draft:
    """The steps of one person, in order, and the state that they add up to.

    Args:    file: made if missing; a last line that a killed process left unfinished is cut off. head: the first line
             of the log that it belongs to.
    Attributes: version: how many steps there are. answers: round -> item -> answer of what was rated here. confirmed:
             round -> one answer for each item. reopened: the earliest round that is to go from the log, or None. lines:
             all steps.
    Raises:  SessionError for a draft that is damaged or of another session. PapaError where it cannot be written.
    """

    def __init__(self, file: Path, head: Mapping[str, Any]) -> None:
        self.file = file
        self.answers: dict[int, dict[int, str]] = {}
        self.confirmed: dict[int, list[str]] = {}
        self.reopened: int | None = None
        self.lines: list[dict[str, Any]] = []
        self._stack: list[Step] = []
        self._sent: dict[str, int] = {}
        self._read({"draft": VERSION, "of": dict(head)})

    @property
    def version(self) -> int:
        return len(self.lines)

    # ------------------------------------------------------------ the file

    def _read(self, head: dict[str, Any]) -> None:
        try:
            data = self.file.read_bytes() if self.file.exists() else b""
        except OSError as error:
            raise SessionError(f"cannot read the draft {self.file} ({error.strerror or error}).") from error
        whole = data[: data.rfind(b"\n") + 1]
        if not whole:
            if not json.dumps(head).encode().startswith(data):  # somebody's file that is no draft
                raise SessionError(f"{self.file} is no draft of a session. {REMEDY}")
            self._write(json.dumps(head), 0)
            return
        try:
            first, *lines = [json.loads(line) for line in whole.decode("utf-8").splitlines()]
            if not isinstance(first, dict) or first.get("draft") != VERSION:
                raise SessionError(f"{self.file} is no draft of this version. {REMEDY}")
            if differs := differences(first, head):
                raise SessionError(f"the draft {self.file} is of another session: {differs}. {REMEDY}")
            for line in lines:
                self._take(line)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise SessionError(
                f"the draft {self.file} is damaged in line {self.version + 2} ({error}). {REMEDY}"
            ) from None
        if len(whole) < len(data):
            self._write("", len(whole))

    def _write(self, line: str, at: int | None = None) -> None:
        """Append a line and wait until it is on the disk; a write that fails leaves the file as it was.

        Args:    at: the length that the file is cut to first.
        """
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with open(
                self.file, "ab", buffering=0
            ) as handle:  # a buffer would keep what did not fit, and write it later
                end = handle.seek(0, os.SEEK_END) if at is None else at
                try:
                    handle.truncate(end)
                    rest = memoryview((line + "\n").encode() if line else b"")
                    while rest:
                        rest = rest[write(handle, rest) :]
                    os.fsync(handle.fileno())
                except OSError:
                    handle.truncate(end)
                    raise
        except OSError as error:
            raise cannot_write(self.file, error, AGAIN) from error

    # ------------------------------------------------------------ steps

    def sent(self, client: str, seq: int) -> bool:
        """Whether this step of a client was taken already."""
        return self._sent.get(client, 0) >= seq

    def changed_by_others(self, client: str, seen: int) -> bool:
        """Whether another client has taken a step after the version that this one has seen."""
        return any(line["client"] not in ("", client) for line in self.lines[seen:])

    def append(self, op: str, client: str = "", seq: int = 0, **more: Any) -> None:
        """Write a step, and take it.

        Raises:  PapaError where it cannot be written; the draft is then as before.
        """
        line = {"version": self.version + 1, "client": client, "seq": seq, "op": op, **more}
        self._write(json.dumps(line))
        self._take(line)

    def undoes(self) -> Step | None:
        """What the next undo takes back; None where the draft has nothing to take back."""
        return self._stack[-1] if self._stack else None

    def _take(self, line: dict[str, Any]) -> None:
        if line["version"] != self.version + 1:
            raise ValueError(f"version {line['version']} after {self.version}")
        if line["op"] not in STEPS:
            raise ValueError(f"unknown step {line['op']!r}")
        getattr(self, f"_take_{line['op']}")(line)
        self.lines.append(line)
        if line["client"]:
            self._sent[line["client"]] = max(line["seq"], self._sent.get(line["client"], 0))

    def _take_rate(self, line: dict[str, Any]) -> None:
        self._stack.append(Step(line["round"], line["item"], self._put(line["round"], line["item"], line["answer"])))

    def _take_confirm(self, line: dict[str, Any]) -> None:
        self.confirmed[line["round"]] = line["answers"]
        self._stack.append(Step(line["round"], None))

    def _take_undo(self, line: dict[str, Any]) -> None:
        step = self._stack.pop()
        if step.item is not None:
            self._put(step.round, step.item, step.before)
        else:
            del self.confirmed[step.round]  # what was rated there stands in `answers` still
            self._reopen(step.round)

    def _take_reopen(self, line: dict[str, Any]) -> None:
        self._stack.clear()
        self.confirmed.pop(line["round"], None)
        self.answers[line["round"]] = {}
        for item, answer in enumerate(line["answers"]):
            self._take_rate({"round": line["round"], "item": item, "answer": answer})
        self._reopen(line["round"])

    def _take_cut(self, line: dict[str, Any]) -> None:
        self.reopened = None

    def _reopen(self, index: int) -> None:
        self.reopened = index if self.reopened is None else min(index, self.reopened)

    def _put(self, index: int, item: int, answer: str | None) -> str | None:
        """Set an answer, None takes it away; returns the one before."""
        answers = self.answers.setdefault(index, {})
        before = answers.pop(item, None)
        if answer is not None:
            answers[item] = answer
        return before

    def forget(self) -> None:
        """Leave no step in memory."""
        for kept in (self.answers, self.confirmed, self.lines, self._stack, self._sent):
            kept.clear()
        self.reopened = None

    def forget_before(self, rounds: int) -> None:
        """Leave out open steps of rounds that the log has answers of: they were answered elsewhere since."""
        if any(step.round < rounds and step.round not in self.confirmed for step in self._stack):
            self._stack.clear()


STEPS: Sequence[str] = ("rate", "confirm", "undo", "reopen", "cut")


def write(handle: Any, data: memoryview) -> int:
    """One write of a file; a name of its own, for tests that fill the disk."""
    return handle.write(data)
