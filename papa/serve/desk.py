"""The desk: one session, the draft beside its log, and one worker thread for everything slow.

A step of the user is written to the draft first. The worker then brings the session in line with the draft (`_settle`):
it removes reopened rounds from the log, replays, submits confirmed answers and asks the next question. Starts, undo,
errors and kills all take this path, and it may be interrupted anywhere.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from papa.errors import PapaError
from papa.feedback import Feedback, Question
from papa.methods.interface import Method
from papa.serve import exports
from papa.serve.answers import SKIP, Shown, Step
from papa.serve.dial import session_at
from papa.serve.drafts import Draft
from papa.serve.previews import Previews, pngs
from papa.serve.worker import Worker
from papa.session import Session

TAKEN = "taken"
"""The step is on disk."""
KNOWN = "known"
"""The step was sent before and is on disk."""
NEWER = "newer"
"""Rejected: another tab has answered, or the round is closed."""
LATER = "later"
"""The images of this round are not ready yet (after a start); this step and those after it are to be sent again."""


class Desk:
    """One user at one session.

    Args:
        make: opens the session; called again after a round was reopened.
        paired: show pairs even if the method asks for likes.
    """

    def __init__(self, make: Callable[[], Session], log: Path, paired: bool = False) -> None:
        self.log, self.paired = log, paired
        draft, self.exports = exports.paths(log)
        self.boot = uuid.uuid4().hex
        self._make = make
        self._worker = Worker()
        self._lock = self._worker.lock
        self._session: Session | None = make()
        self.settings = self._session.settings
        self.saves = type(self._session.method).aligned is not Method.aligned
        try:
            with open(log, encoding="utf-8") as handle:
                self.draft = Draft(draft, json.loads(handle.readline()))
        except BaseException:
            self._session.close()
            raise
        self._logged = self._session.logged
        self.draft.forget_before(self._first)
        self._rounds: dict[int, Shown] = {}
        self._previews = Previews()
        self._queued = 0
        self._notes: list[str] = []
        self._gone: str | None = None  # why no steps are accepted any more

    @property
    def _first(self) -> int:
        """Rounds of the log that are to stay."""
        reopened = self.draft.reopened
        return self._logged if reopened is None else min(reopened, self._logged)

    @property
    def open(self) -> int:
        """The open round, from 0; the number of rounds if all are confirmed."""
        index = self._first
        while index in self.draft.confirmed:
            index += 1
        return index

    def act(self, steps: Sequence[Step]) -> dict[str, Any]:
        """Take steps, in order; each one is on disk before this returns.

        Returns:
            results: one per step; fewer if the disk is full or the images of the round are not ready.
            message: the error if the disk is full.
        """
        results: list[str] = []
        with self._lock:
            for step in steps:
                try:
                    if (result := self._step(step)) == LATER:
                        break
                    results.append(result)
                except PapaError as error:
                    return {"results": results, "message": str(error)}
                finally:
                    self._worker.changed()
        return {"results": results, "message": None}

    def _step(self, step: Step) -> str:
        if self._gone:
            return self._gone
        if self.draft.sent(step.client, step.seq):
            return KNOWN
        if step.op != "rate" and self.draft.changed_by_others(step.client, step.seen):
            return NEWER
        if step.op == "undo":
            return self._undo(step)
        if step.round != self.open:
            return NEWER
        if (here := self._rounds.get(step.round)) is None:
            return LATER
        return self._rate(step, here) if step.op == "rate" else self._confirm(step, here)

    def _rate(self, step: Step, here: Shown) -> str:
        if step.item is None or not here.takes(step.item, step.answer):
            return "This is not an answer to this image."
        self.draft.append("rate", step.client, step.seq, round=step.round, item=step.item, answer=step.answer)
        return TAKEN

    def _confirm(self, step: Step, here: Shown) -> str:
        answers = [answer or SKIP for answer in self._rated(step.round, here)]
        self.draft.append("confirm", step.client, step.seq, round=step.round, answers=answers)
        self.settle()
        return TAKEN

    def _rated(self, index: int, here: Shown) -> list[str | None]:
        rated = self.draft.answers.get(index, {})
        return [rated.get(item) for item in range(here.units)]

    def _undo(self, step: Step) -> str:
        last, here = self.draft.last(), self.open
        if last is not None and last.round == (here if last.item is not None else here - 1):
            self.draft.append("undo", step.client, step.seq)
            if last.item is None:
                self._forget_after(last.round)
            return TAKEN
        if here == 0:
            return "There is nothing to undo."
        before = self._rounds.get(here - 1)
        if before is None or before.feedback is None:
            return "The session is still loading; undo again in a moment."
        self.draft.append("reopen", step.client, step.seq, round=here - 1, answers=before.decode())
        self._forget_after(here - 1)
        return TAKEN

    def _forget_after(self, index: int) -> None:
        """Later rounds followed from answers that were taken back."""
        self._rounds = {known: here for known, here in self._rounds.items() if known <= index}
        self.settle()

    def settle(self) -> None:
        """Bring the session in line with the draft, in the background."""
        with self._lock:
            self._worker.error = None
            self._queued += 1
        self._worker.later(self._settle)

    def _settle(self) -> None:
        with self._lock:
            self._queued -= 1
            if self._queued or self._gone:  # a later call does it
                return
        session = self._in_line()
        try:
            with self._worker.doing("replaying your answers", session.round, session.logged):
                for happened in session.replay():
                    self._learned(happened.question, happened.feedback)
            while session.round < session.rounds and self._answer(session):
                pass
            if session.round < session.rounds:
                with self._worker.doing("generating the next images"):
                    self._show(session.ask())
        except BaseException:
            self._drop_session()  # it may have learned half a round
            raise
        self._sample_previews(session)
        if self._idle(session):  # last: the user does not see it yet
            session.ask_ahead()

    def _answer(self, session: Session) -> bool:
        """Learn from the next round; False if it is not confirmed."""
        with self._lock:
            answers = self.draft.confirmed.get(session.round)
            if answers is None or self.draft.reopened is not None:  # a queued `_settle` reopens a round
                return False
        with self._worker.doing(f"learning from round {session.round + 1}"):
            question = session.ask()
            happened = session.answer(self._show(question).encode(answers))
            self._learned(question, happened.feedback)
        return True

    def _in_line(self) -> Session:
        """The session, without reopened rounds in its log."""
        with self._lock:
            reopened, session = self.draft.reopened, self._session
            if session is None or (reopened is not None and session.logged > reopened):
                self._drop_session()
                session = None
            if reopened is not None:
                if session is None:
                    exports.keep_rounds(self.log, reopened)
                self.draft.append("cut", round=reopened)
                self._logged = min(self._logged, reopened)
        if session is None:
            session = self._make()  # slow for a large model; the page stays responsive
            with self._lock:
                self._session, self._logged = session, session.logged
        return session

    def _drop_session(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _show(self, question: Question) -> Shown:
        """The question as the page shows it; kept unless it followed from answers that were taken back."""
        with self._lock:
            assert self._session is not None
            here = self._rounds.get(question.round)
            if here is None:
                paired = self.paired or question.kind == "pairs"
                here = Shown(pngs(self._session.model, question.images), question.kind, paired, self._worker.tick)
                if self.draft.reopened is None or question.round <= self.draft.reopened:
                    self._rounds[question.round] = here
                    self._worker.changed()
            return here

    def _learned(self, question: Question, feedback: Feedback) -> None:
        with self._lock:
            assert self._session is not None
            self._show(question).feedback = feedback
            self._logged = self._session.logged
            if self._worker.busy is not None:
                self._worker.busy["done"] = question.round + 1
            self._worker.changed()

    def turn(self, value: float) -> None:
        """Set the dial; "now" is sampled at that value."""
        with self._lock:
            self._previews.turn(value)
            if self._session is not None:  # an error may come from the previous value
                self._worker.error = None
        self._worker.later(lambda: self._sample_previews(self._session))

    def _sample_previews(self, session: Session | None) -> None:
        """Sample missing previews, unless something more urgent is queued."""
        if self._idle(session) and "before" not in self._previews.ready:
            with self._worker.doing("generating images before learning"):
                self._previews.sample_before(session)
        if self._idle(session) and self._previews.lacks_now(session):
            with self._worker.doing("generating images with what it learned"):
                self._previews.sample_now(session, self._worker.tick)

    def _idle(self, session: Session | None) -> TypeGuard[Session]:
        with self._lock:
            return session is not None and not self._queued and not self._gone

    def export(self, what: str) -> None:
        """Save the model at the dial's strength ("model") or the rated images ("answers"), in the background."""
        strength = self._previews.value  # the dial may be turned before it is saved
        self._worker.later(lambda: self._export(what, strength))

    def _export(self, what: str, strength: float | None) -> None:
        if (session := self._session) is None:
            raise PapaError("the session is not open.")
        with self._worker.doing("saving files"):
            try:
                note = f"Saved: {self._save(session, what, strength)}"
            except PapaError as error:
                note = f"Not saved: {error}"
        with self._lock:
            self._notes.append(note)

    def _save(self, session: Session, what: str, strength: float | None) -> str:
        path = exports.new_path(self.exports, what, session.round)
        if what == "model":
            self.exports.mkdir(parents=True, exist_ok=True)
            if strength is None:
                return f"{session.save(path)}"
            return f"{session_at(session, strength).save(path, {'strength': strength})}, at strength {strength:g}"
        with self._lock:
            learned = [here for index, here in sorted(self._rounds.items()) if here.feedback and index < self.open]
        if not learned:
            raise PapaError("no round is confirmed yet.")
        return f"{exports.write_answers(path, learned, session.model.prompt or '')}"

    def delete(self) -> None:
        """Delete the log, the draft and the exports; no step is accepted afterwards."""
        with self._lock:
            before, self._gone = self._gone, "Everything of this session was deleted."
        try:
            self._worker.wait_for(self._delete)
        except OSError as error:
            self._gone = before
            raise PapaError(f"cannot delete {error.filename} ({error.strerror}); delete it by hand.") from error
        finally:
            self._worker.changed()

    def _delete(self) -> None:
        self._drop_session()
        exports.delete_all(self.log)
        with self._lock:
            self._rounds.clear()
            self._previews = Previews()
            self._notes.clear()

    def stop(self) -> None:
        """Accept no further steps: the server ends."""
        with self._lock:
            self._gone = self._gone or "Stopped. Start `papa serve` again to resume."
            self._worker.changed()

    def close(self) -> None:
        """Wait for the current job and release the log."""
        self.stop()
        self._worker.close()
        self._drop_session()

    def image(self, index: int, item: int) -> bytes | None:
        with self._lock:
            here = self._rounds.get(index)
            return here.images[item] if here is not None and item < len(here.images) else None

    def preview(self, which: str, item: int) -> bytes | None:
        return self._previews.image(which, item)

    def state(self) -> dict[str, Any]:
        """Everything that the page shows, as JSON; `tick` grows with every change within one `boot`."""
        with self._lock:
            index, busy = self.open, self._worker.busy
            here = None if self._gone else self._rounds.get(index)
            return {
                "boot": self.boot,
                "tick": self._worker.tick,
                "version": self.draft.version,
                "round": index,
                "rounds": self.settings.rounds,
                "labels": self.settings.labels,
                "confirmed": min(index * self.settings.per_round, self.settings.labels),
                "finished": index >= self.settings.rounds,
                "question": here
                and {
                    "round": index,
                    "stamp": here.stamp,
                    "paired": here.paired,
                    "answers": self._rated(index, here),
                },
                "busy": None if busy is None else dict(busy),
                "error": self._worker.error,
                "notes": list(self._notes),
                "gone": self._gone,
                "undo": index > 0 or self.draft.last() is not None,
                "saves": self.saves,
            } | self._previews.state()
