"""The rounds as they are shown, and what was answered to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from papa.feedback import Feedback, Question
from papa.serve.answers import PAIRS, SINGLE, shown, told, units


@dataclass
class Shown:
    """A round as it is shown. pictures: PNG files. paired: two by two. stamp: another one for other pictures. feedback:
    once it was learned."""

    pictures: list[bytes]
    kind: str
    paired: bool
    stamp: int
    feedback: Feedback | None = None

    @property
    def units(self) -> int:
        """How many answers it takes."""
        return units(len(self.pictures), self.paired)

    def takes(self, item: int, answer: str | None) -> bool:
        """Whether this is an answer to this unit; None takes one back."""
        return item < self.units and answer in (None, *(PAIRS if self.paired else SINGLE))

    def answers(self) -> list[str]:
        """What was answered, one for each unit."""
        assert self.feedback is not None
        return shown(self.feedback, self.kind, self.paired)


class Rounds:
    """Rounds by their number. Whoever asks what was shown, or changes it, holds the lock of the desk.

    Args:    paired: show pairs even where the method asks for likes.
    """

    def __init__(self, paired: bool) -> None:
        self._paired = paired
        self._shown: dict[int, Shown] = {}

    def get(self, index: int) -> Shown | None:
        """A round that was shown; None where it was not."""
        return self._shown.get(index)

    def picture(self, index: int, item: int) -> bytes | None:
        """The PNG of an item of a round; None where there is none."""
        here = self._shown.get(index)
        return here.pictures[item] if here is not None and item < len(here.pictures) else None

    def show(self, question: Question, pictures: Callable[[], list[bytes]], stamp: int) -> None:
        """Show a round, unless it is there already. pictures: makes the PNG files."""
        if question.round not in self._shown:
            self._shown[question.round] = Shown(pictures(), question.kind, self._in_pairs(question), stamp)

    def told(self, question: Question, answers: Sequence[str]) -> list[Any]:
        """What a session is answered, whose question was shown in the way of this person.

        Raises:  AnswerError for an answer that is unknown, or another number of them.
        """
        return told(answers, len(question), question.kind, self._in_pairs(question))

    def _in_pairs(self, question: Question) -> bool:
        return self._paired or question.kind == "pairs"

    def learned(self, index: int, feedback: Feedback) -> None:
        """A session learned from a round."""
        if index in self._shown:
            self._shown[index].feedback = feedback

    def answered(self, before: int) -> list[Shown]:
        """The learned rounds before another one, in order."""
        return [here for index, here in sorted(self._shown.items()) if here.feedback and index < before]

    def forget_after(self, index: int) -> None:
        """A round was reopened: what came after it followed from its answers."""
        self._shown = {known: here for known, here in self._shown.items() if known <= index}

    def clear(self) -> None:
        """Forget every round."""
        self._shown.clear()
