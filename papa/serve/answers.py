"""Messages from the page: keystrokes; from keystrokes to the answers of a session, and back.

A round is shown as units, single images or pairs of neighbours, with one answer each:

    single   like, dislike, skip
    pairs    first, second, tie, skip

A method that asks for likes may be answered in pairs: the better image counts as liked, the other as disliked, both as
1/2 in a tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from papa.errors import AnswerError
from papa.feedback import Feedback, Tie

SKIP = "skip"
SINGLE = {"like": 1.0, "dislike": 0.0, SKIP: None}
"""Answer -> preference of the image."""
PAIRS = {"first": (1.0, 0.0), "second": (0.0, 1.0), "tie": (0.5, 0.5), SKIP: (None, None)}
"""Answer -> preferences of the two images."""

Count = Annotated[int, Field(ge=0, lt=10**9, strict=True)]


class Form(BaseModel):
    """Base of everything that the page sends; unknown entries are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Step(Form):
    """A keystroke.

    Args:
        client: one page in one tab.
        seq: number of the step in that page, from 1.
        seen: version of the draft that the page knew.
        item: the unit that is rated; answer: None clears it.
    """

    op: Literal["rate", "confirm", "undo"]
    client: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]
    seq: Annotated[int, Field(ge=1, lt=10**9, strict=True)]
    seen: Count
    round: Count = 0
    item: Count | None = None
    answer: Annotated[str, Field(max_length=16)] | None = None


class Steps(Form):
    """Keystrokes, in order."""

    steps: Annotated[list[Step], Field(min_length=1, max_length=100)]


@dataclass
class Shown:
    """A round as the page shows it.

    Args:
        images: PNG files.
        paired: two by two.
        stamp: differs between different images of the same round.
        feedback: its answers, once learned.
    """

    images: list[bytes]
    kind: str
    paired: bool
    stamp: int = 0
    feedback: Feedback | None = None

    @property
    def units(self) -> int:
        """Number of answers; the last of an odd number of paired images has no partner."""
        return len(self.images) // 2 if self.paired else len(self.images)

    def takes(self, unit: int, answer: str | None) -> bool:
        """Whether this is an answer to this unit; None clears one."""
        return unit < self.units and answer in (None, *(PAIRS if self.paired else SINGLE))

    def encode(self, answers: Sequence[str]) -> list[Any]:
        """One answer per unit -> the answers that `Session.answer` takes."""
        known = PAIRS if self.paired else SINGLE
        if len(answers) != self.units or not set(answers) <= known.keys():
            raise AnswerError(f"expected {self.units} answers, each one of {', '.join(known)}.")
        if self.kind == "pairs":
            return [pair for unit, answer in enumerate(answers) if (pair := _pair(unit, answer)) is not None]
        if not self.paired:
            return [SINGLE[answer] for answer in answers]
        preferences = [preference for answer in answers for preference in PAIRS[answer]]
        return preferences + [None] * (len(self.images) - len(preferences))

    def decode(self) -> list[str]:
        """One answer per unit, from the feedback; a grade between like and dislike is rounded to the nearer."""
        assert self.feedback is not None
        preference = self.feedback.preference
        if self.kind == "pairs":
            return self._decode_pairs(self.feedback)
        if not self.paired:
            return [SKIP if np.isnan(p) else "like" if p > 0.5 else "dislike" for p in preference]
        return [
            SKIP if np.isnan([a, b]).any() else "tie" if a == b else "first" if a > b else "second"
            for a, b in preference[: 2 * self.units].reshape(-1, 2)
        ]

    def _decode_pairs(self, feedback: Feedback) -> list[str]:
        found = [SKIP] * self.units
        for better, worse in () if feedback.pairs is None else feedback.pairs.tolist():
            if better // 2 == worse // 2 < self.units:  # a script may have compared others
                found[better // 2] = "first" if better < worse else "second"
        for first, second in () if feedback.ties is None else feedback.ties.tolist():
            if first // 2 == second // 2 < self.units:
                found[first // 2] = "tie"
        return found


def _pair(unit: int, answer: str) -> tuple[int, int] | Tie | None:
    first, second = 2 * unit, 2 * unit + 1
    return {"first": (first, second), "second": (second, first), "tie": Tie(first, second), SKIP: None}[answer]
