"""The desk: a session, the draft beside its log, and one worker thread that does everything that takes long.

What a person does is written to the draft first. The worker then brings the session in line with the draft (`_settle`):
it takes reopened rounds out of the log, replays, answers what was confirmed, and asks the next question. It does the
same after a start, an undo, an error or a kill, so there is one way only, and it may be interrupted anywhere.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeGuard

from papa.errors import PapaError
from papa.feedback import Feedback, Question
from papa.serve import exports
from papa.serve.answers import SKIP
from papa.serve.dial import session_at
from papa.serve.drafts import Draft
from papa.serve.pictures import pngs
from papa.serve.rounds import Rounds, Shown
from papa.serve.steps import KNOWN, LATER, NEWER, TAKEN, Reply, Sent
from papa.serve.strips import Strips
from papa.serve.worker import Worker
from papa.session import Session


class Desk:
    """One person at one session.

    Args:    make: opens the session; called again after a round was reopened. log: its log. paired: show pairs even
             where the method asks for likes.
    Raises:  what `make` and `Draft` raise: what does not fit is refused here, before anything is served.
    """

    def __init__(self, make: Callable[[], Session], log: Path, paired: bool = False) -> None:
        self.log, self.draft_file, self.exports = log, *exports.places(log)
        self.boot = uuid.uuid4().hex
        self._make = make
        self._worker = Worker()
        self._lock = self._worker.lock
        self._session: Session | None = make()
        self.settings = self._session.settings
        try:
            with open(log, encoding="utf-8") as handle:
                self._head = json.loads(handle.readline())
            self.draft = Draft(self.draft_file, self._head)
        except BaseException:
            self._session.close()
            raise
        self._logged = self._session.logged
        reopened = self.draft.reopened
        self.draft.forget_before(self._logged if reopened is None else min(reopened, self._logged))
        self._rounds = Rounds(paired)
        self._strips = Strips()
        self._waiting = 0
        self._notes: list[str] = []  # sentences
        self._gone: str | None = None  # why nothing is taken now

    # ------------------------------------------------------------ what a person does

    @property
    def open(self) -> int:
        """The round that is answered now, counted from 0; the number of rounds where all are confirmed."""
        reopened = self.draft.reopened
        index = self._logged if reopened is None else min(reopened, self._logged)
        while index in self.draft.confirmed:
            index += 1
        return index

    def act(self, sent: Sent) -> Reply:
        """Take steps, in order. Each one is on the disk before this returns; one that was sent before is known.

        Returns: what became of each step. Where the disk is full it stops there, with the error; where the pictures of
                 the round are not there yet, after a start, it stops without one.
        """
        results: list[str] = []
        with self._lock:
            for step in sent.steps:
                try:
                    if (result := self._step(step)) == LATER:
                        break
                    results.append(result)
                except PapaError as error:
                    return Reply(results, str(error))
                finally:
                    self._worker.changed()
        return Reply(results)

    def _step(self, step: Any) -> str:
        if self._gone:
            return self._gone
        if self.draft.sent(step.client, step.seq):
            return KNOWN
        if step.op == "rate":
            return self._rate(step)
        if self.draft.changed_by_others(step.client, step.seen):
            return NEWER
        return self._undo(step) if step.op == "undo" else self._confirm(step)

    def _rate(self, step: Any) -> str:
        if step.round != self.open:
            return NEWER
        if (here := self._rounds.get(step.round)) is None:
            return LATER
        if step.item is None or not here.takes(step.item, step.answer):
            return "This is no answer to this picture."
        self.draft.append("rate", step.client, step.seq, round=step.round, item=step.item, answer=step.answer)
        return TAKEN

    def _confirm(self, step: Any) -> str:
        if step.round != self.open:
            return NEWER
        if (here := self._rounds.get(step.round)) is None:
            return LATER
        rated = self.draft.answers.get(step.round, {})
        answers = [rated.get(item, SKIP) for item in range(here.units)]
        self.draft.append("confirm", step.client, step.seq, round=step.round, answers=answers)
        self.settle()
        return TAKEN

    def _undo(self, step: Any) -> str:
        last, here = self.draft.undoes(), self.open
        if last is not None and last.round == (here if last.item is not None else here - 1):
            self.draft.append("undo", step.client, step.seq)
            if last.item is None:
                self._forget_after(last.round)
            return TAKEN
        before = self._rounds.get(here - 1)
        if here == 0 or before is None or before.feedback is None:
            return (
                "There is nothing to undo." if here == 0 else "The session is still being read; undo when it is there."
            )
        self.draft.append("reopen", step.client, step.seq, round=here - 1, answers=before.answers())
        self._forget_after(here - 1)
        return TAKEN

    def _forget_after(self, index: int) -> None:
        self._rounds.forget_after(index)
        self.settle()

    # ------------------------------------------------------------ the worker

    def settle(self) -> None:
        """Bring the session in line with the draft, in the background."""
        with self._lock:
            self._worker.error = None
            self._waiting += 1
        self._worker.later(self._settle)

    def _settle(self) -> None:
        with self._lock:
            self._waiting -= 1
            if self._waiting or self._gone:  # a later one does it
                return
        session = self._in_line()
        try:
            with self._worker.doing("reading the answers so far", session.round, session.logged):
                for happened in session.replay():
                    self._learned(happened.question, happened.feedback)
            while session.round < session.rounds and self._answer(session):
                pass
            if session.round < session.rounds:
                with self._worker.doing("drawing the pictures of the next round"):
                    self._show(session.ask())
        except BaseException:
            self._drop_session()  # half a round may have been learned
            raise
        self._look(session)
        if self._may_look(session):  # last, for the person sees nothing of it yet
            session.ask_ahead()

    def _answer(self, session: Session) -> bool:
        """Let the session learn from the next round, if it was confirmed."""
        with self._lock:
            answers = self.draft.confirmed.get(session.round)
            if answers is None or self.draft.reopened is not None:  # a later `_settle` waits, which takes a round back
                return False
        with self._worker.doing(f"learning from round {session.round + 1}"):
            question = session.ask()
            self._show(question)
            happened = session.answer(self._rounds.told(question, answers))
            self._learned(happened.question, happened.feedback)
        return True

    def _in_line(self) -> Session:
        """The session, with no round in its log that was reopened."""
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
            session = self._make()  # takes a while for a large model; the page goes on meanwhile
            with self._lock:
                self._session, self._logged = session, session.logged
        return session

    def _drop_session(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _show(self, question: Question) -> None:
        with self._lock:
            if self.draft.reopened is not None and question.round > self.draft.reopened:
                return  # it followed from answers that were taken back since
            assert self._session is not None
            model = self._session.model
            self._rounds.show(question, lambda: pngs(model, question.images), self._worker.tick)
            self._worker.changed()

    def _learned(self, question: Question, feedback: Feedback) -> None:
        self._show(question)
        with self._lock:
            assert self._session is not None
            self._logged = self._session.logged
            self._rounds.learned(question.round, feedback)
            self._worker.changed()
            if self._worker.busy is not None:
                self._worker.busy.done = question.round + 1

    # ------------------------------------------------------------ before and now

    def turn(self, value: float) -> None:
        """Set the dial; what the model draws now is drawn at that value."""
        with self._lock:
            self._strips.turn(value)
            if self._session is not None:  # an error was of a strip, perhaps of the value before
                self._worker.error = None
        self._worker.later(lambda: self._look(self._session))

    def _look(self, session: Session | None) -> None:
        """Draw what is missing of the strips, unless something more urgent waits.

        The base samples do not depend on the answers, so they are drawn while the person looks at the first round.
        """
        if self._may_look(session) and self._strips.lacks_before():
            with self._worker.doing("drawing what the model draws before"):
                self._strips.draw_before(session)
        if self._may_look(session) and self._strips.lacks_now(session):
            with self._worker.doing("drawing what the model draws now"):
                self._strips.draw_now(session, self._worker.tick)

    def _may_look(self, session: Session | None) -> TypeGuard[Session]:
        with self._lock:
            return session is not None and not self._waiting and not self._gone

    # ------------------------------------------------------------ what is taken away, and the end

    def export(self, what: str) -> None:
        """Write the model as the dial shows it ("model") or the pictures with their answers ("answers"), in the
        background."""
        strength = self._strips.value  # the dial may be turned on before it is written
        self._worker.later(lambda: self._export(what, strength))

    def _export(self, what: str, strength: float | None) -> None:
        if (session := self._session) is None:
            raise PapaError("the session is not open.")
        with self._worker.doing("writing files"):
            place = exports.fresh(self.exports, what, session.round)
            try:
                if what == "model":
                    self.exports.mkdir(parents=True, exist_ok=True)
                    note = f"Written: {self._save(session, place, strength)}"
                else:
                    note = f"Written: {exports.write_answers(place, self._answered(), session.model.prompt or '')}"
            except PapaError as error:
                note = f"Not written: {error}"
        with self._lock:
            self._notes.append(note)

    def _save(self, session: Session, place: Path, strength: float | None) -> str:
        """Save the model; returns where, and how strong it is."""
        if strength is None:
            return f"{session.save(place)}"
        return f"{session_at(session, strength).save(place, {'strength': strength})}, at strength {strength:g}"

    def _answered(self) -> list[Shown]:
        """The confirmed rounds.

        Raises:  PapaError where there is none.
        """
        with self._lock:
            found = self._rounds.answered(before=self.open)
        if not found:
            raise PapaError("no round was confirmed yet.")
        return found

    def delete(self) -> None:
        """Delete the log, the draft and the exports; nothing is taken afterwards.

        Raises:  PapaError where a file cannot be deleted.
        """
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
            self._strips = Strips()
            self.draft.forget()
            self._notes.clear()

    def stop(self) -> None:
        """Take nothing more: the server ends."""
        with self._lock:
            self._gone = self._gone or "Stopped. Start `papa serve` again to go on where you are."
            self._worker.changed()

    def close(self) -> None:
        """Wait for what the worker is doing, and release the log."""
        self.stop()
        self._worker.close()
        self._drop_session()

    # ------------------------------------------------------------ what the page is told

    def picture(self, index: int, item: int) -> bytes | None:
        """The PNG of an item of a round that was shown; None where there is none."""
        with self._lock:
            return self._rounds.picture(index, item)

    def strip(self, which: str, item: int) -> bytes | None:
        """The PNG of a strip, "before" or "now"; None where there is none."""
        return self._strips.picture(which, item)

    def state(self) -> dict[str, Any]:
        """Everything that the page shows, as JSON; `tick` grows with every change, within a `boot`."""
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
                "spent": self._spent(index, here),
                "finished": index >= self.settings.rounds,
                "asking": None if here is None else self._question(index, here),
                "busy": None if busy is None else vars(busy).copy(),
                "error": self._worker.error,
                "notes": list(self._notes),
                "gone": self._gone,
                "undo": index > 0 or self.draft.undoes() is not None,
            } | self._strips.state()

    def _question(self, index: int, here: Shown) -> dict[str, Any]:
        rated = self.draft.answers.get(index, {})
        return {
            "round": index,
            "stamp": here.stamp,
            "pictures": len(here.pictures),
            "paired": here.paired,
            "answers": [rated.get(item) for item in range(here.units)],
        }

    def _spent(self, index: int, here: Shown | None) -> int:
        """Pictures that were answered: of the rounds before, and of this one so far."""
        before = min(index * self.settings.per_round, self.settings.labels)
        if here is None:
            return before
        each = 2 if here.paired else 1
        return before + each * len(self.draft.answers.get(index, {}))
