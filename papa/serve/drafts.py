"""The draft: every keystroke, on disk before it counts.

A file of JSON lines beside the session's log. Its first line repeats the log's first line; each further line is a step
with a version, from 1:

    {"version": 1, "client": "a1", "seq": 1, "op": "rate", "round": 0, "item": 2, "answer": "like"}
    {"version": 2, "client": "a1", "seq": 2, "op": "confirm", "round": 0, "answers": ["skip", "skip", "like"]}
    {"version": 3, "client": "b7", "seq": 1, "op": "undo"}
    {"version": 4, "client": "", "seq": 0, "op": "cut", "round": 0}

`undo` reverts the last step. If that was a confirmation, the round is open again and must go from the log; `cut` says
that it did. `reopen` does the same for a round that the draft does not have (a log without a draft) and carries its
answers. A step is identified by its client (a page in a tab) and number, so a step sent twice counts once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from papa.errors import SessionError
from papa.files import AGAIN, cannot_write
from papa.log import differences

VERSION = 1
"""Version of the draft's format."""
REMEDY = "Move it away and start again: confirmed rounds are in the log, only unconfirmed answers are lost."


@dataclass(frozen=True)
class Undoable:
    """A step that can be undone. item: None for a confirmation. before: the previous answer."""

    round: int
    item: int | None
    before: str | None = None


class Draft:
    """The steps of one user, in order, and the resulting state.

    Args:
        file: created if missing; an unfinished last line (killed process) is removed.
        head: first line of the log.

    Attributes:
        version: number of steps.
        answers: round -> item -> answer.
        confirmed: round -> one answer per item.
        reopened: first round to be removed from the log, or None.
        lines: all steps.

    Raises:
        SessionError: if the draft is damaged or belongs to another session.
    """

    def __init__(self, file: Path, head: Mapping[str, Any]) -> None:
        self.file = file
        self.answers: dict[int, dict[int, str]] = {}
        self.confirmed: dict[int, list[str]] = {}
        self.reopened: int | None = None
        self.lines: list[dict[str, Any]] = []
        self._stack: list[Undoable] = []
        self._sent: dict[str, int] = {}
        self._read({"draft": VERSION, "of": dict(head)})

    @property
    def version(self) -> int:
        return len(self.lines)

    def _read(self, head: dict[str, Any]) -> None:
        try:
            data = self.file.read_bytes() if self.file.exists() else b""
        except OSError as error:
            raise SessionError(f"cannot read the draft {self.file} ({error.strerror or error}).") from error
        whole = data[: data.rfind(b"\n") + 1]
        if not whole and json.dumps(head).encode().startswith(data):
            self._write(json.dumps(head), 0)
            return
        try:
            first, *lines = [json.loads(line) for line in whole.decode("utf-8").splitlines()]
            if first.get("draft") != VERSION:
                raise ValueError(f"draft: {VERSION} is missing")
            if differs := differences(first, head):
                raise SessionError(f"the draft {self.file} belongs to another session: {differs}. {REMEDY}")
            for line in lines:
                self._take(line)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise SessionError(
                f"the draft {self.file} is damaged after step {self.version} ({error}). {REMEDY}"
            ) from None
        if len(whole) < len(data):
            self._write("", len(whole))

    def _write(self, line: str, at: int | None = None) -> None:
        """Append a line and sync it to disk; if that fails the file is as before. at: length to cut the file to."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: a buffer would keep what did not fit and write it later.
            with open(self.file, "ab", buffering=0) as handle:
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

    def sent(self, client: str, seq: int) -> bool:
        """Whether the draft has this step of a client."""
        return self._sent.get(client, 0) >= seq

    def changed_by_others(self, client: str, seen: int) -> bool:
        """Whether another client made a step after this version."""
        return any(line["client"] not in ("", client) for line in self.lines[seen:])

    def last(self) -> Undoable | None:
        """The step that the next undo reverts."""
        return self._stack[-1] if self._stack else None

    def append(self, op: str, client: str = "", seq: int = 0, **more: Any) -> None:
        """Write a step, then apply it. If it cannot be written, the draft is as before."""
        line = {"version": self.version + 1, "client": client, "seq": seq, "op": op, **more}
        self._write(json.dumps(line))
        self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        if line["version"] != self.version + 1:
            raise ValueError(f"version {line['version']} after {self.version}")
        self._apply(line["op"], line)
        self.lines.append(line)
        self._sent[line["client"]] = max(line["seq"], self._sent.get(line["client"], 0))

    def _apply(self, op: str, line: dict[str, Any]) -> None:
        if op == "rate":
            self._rate(line["round"], line["item"], line["answer"])
        elif op == "confirm":
            self.confirmed[line["round"]] = line["answers"]
            self._stack.append(Undoable(line["round"], None))
        elif op == "undo":
            step = self._stack.pop()
            if step.item is not None:
                self._put(step.round, step.item, step.before)
            else:
                del self.confirmed[step.round]  # `answers` still has what was rated
                self._reopen(step.round)
        elif op == "reopen":
            self._stack.clear()
            self.confirmed.pop(line["round"], None)
            self.answers[line["round"]] = {}
            for item, answer in enumerate(line["answers"]):
                self._rate(line["round"], item, answer)
            self._reopen(line["round"])
        elif op == "cut":
            self.reopened = None
        else:
            raise ValueError(f"unknown step {op!r}")

    def _rate(self, index: int, item: int, answer: str | None) -> None:
        self._stack.append(Undoable(index, item, self._put(index, item, answer)))

    def _put(self, index: int, item: int, answer: str | None) -> str | None:
        """Set an answer (None clears it); returns the previous one."""
        answers = self.answers.setdefault(index, {})
        before = answers.pop(item, None)
        if answer is not None:
            answers[item] = answer
        return before

    def _reopen(self, index: int) -> None:
        self.reopened = index if self.reopened is None else min(index, self.reopened)

    def forget_before(self, rounds: int) -> None:
        """Drop open steps of rounds that the log already has: they were answered elsewhere since."""
        if any(step.round < rounds and step.round not in self.confirmed for step in self._stack):
            self._stack.clear()


def write(handle: Any, data: memoryview) -> int:
    """One write; a function of its own so that tests can fill the disk."""
    return handle.write(data)
