"""What a keystroke means to a method, and what a log line means to the page.

A round is shown as units: single pictures, or pairs of two pictures that follow each other. A unit has one answer:

    single pictures   like, dislike, skip
    pairs             first, second, tie, skip

A method that asks for likes may be answered by pairs: the better picture counts as liked, the other one as disliked,
and a tie as one half for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from papa.errors import AnswerError
from papa.feedback import Feedback, Tie

SKIP = "skip"
SINGLE = {"like": 1.0, "dislike": 0.0, SKIP: None}
"""Answer -> preference of the picture."""
PAIRS = {"first": (1.0, 0.0), "second": (0.0, 1.0), "tie": (0.5, 0.5), SKIP: (None, None)}
"""Answer -> preferences of the two pictures."""


def units(items: int, paired: bool) -> int:
    """How many answers a round of so many pictures takes. Of an odd number of pictures the last one has no partner."""
    return items // 2 if paired else items


def told(answers: Sequence[str], items: int, kind: str, paired: bool) -> list[Any]:
    """What a session is answered.

    Args:    answers: one for each unit. items: pictures of the round. kind: of the question. paired: whether it was
             shown as pairs.
    Returns: preferences of the pictures, or pairs and ties where the question asks for those.
    Raises:  AnswerError for an answer that is unknown, or another number of them.
    """
    known = PAIRS if paired else SINGLE
    if len(answers) != units(items, paired) or not set(answers) <= known.keys():
        raise AnswerError(f"{units(items, paired)} answers are needed, each one of {', '.join(known)}.")
    if kind == "pairs":
        return [pair for index, answer in enumerate(answers) if (pair := _compared(index, answer)) is not None]
    if not paired:
        return [SINGLE[answer] for answer in answers]
    preferences = [preference for answer in answers for preference in PAIRS[answer]]
    return preferences + [None] * (items - len(preferences))


def _compared(index: int, answer: str) -> tuple[int, int] | Tie | None:
    first, second = 2 * index, 2 * index + 1
    made = {"first": (first, second), "second": (second, first), "tie": Tie(first, second), SKIP: None}
    return made[answer]


def shown(feedback: Feedback, kind: str, paired: bool) -> list[str]:
    """The answers that feedback was made of, one for each unit; a grade between like and dislike goes to the nearer."""
    if kind == "pairs":
        return _shown_pairs(feedback)
    if not paired:
        return [
            SKIP if np.isnan(preference) else "like" if preference > 0.5 else "dislike"
            for preference in feedback.preference
        ]
    halves = feedback.preference[: 2 * units(len(feedback.preference), True)].reshape(-1, 2)
    return [_of_two(first, second) for first, second in halves]


def _of_two(first: float, second: float) -> str:
    if np.isnan(first) or np.isnan(second):
        return SKIP
    return "tie" if first == second else "first" if first > second else "second"


def _shown_pairs(feedback: Feedback) -> list[str]:
    found = [SKIP] * units(len(feedback.preference), True)
    for better, worse in () if feedback.pairs is None else feedback.pairs.tolist():
        if better // 2 == worse // 2 < len(found):  # a script may have compared others
            found[better // 2] = "first" if better < worse else "second"
    for first, second in () if feedback.ties is None else feedback.ties.tolist():
        if first // 2 == second // 2 < len(found):
            found[first // 2] = "tie"
    return found
