"""What a keystroke means to a method, and back."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from support.refusals import refused

from papa.errors import AnswerError
from papa.feedback import Feedback, Kind, Query, Tie, feedback_of
from papa.serve.answers import PAIRS, SINGLE, shown, told, units
from papa.serve.exports import pairs


def feedback(answers: tuple[str, ...], items: int, kind: Kind, paired: bool) -> Feedback:
    return feedback_of(told(answers, items, kind, paired), Query(torch.zeros(items, 1), None, kind))


@pytest.mark.parametrize(("kind", "paired"), [("binary", False), ("graded", False), ("binary", True), ("pairs", True)])
@pytest.mark.parametrize("items", [1, 2, 3, 4])
def test_what_was_answered_is_found_again_in_the_log(kind: Kind, paired: bool, items: int) -> None:
    for answers in product(PAIRS if paired else SINGLE, repeat=units(items, paired)):
        assert shown(feedback(answers, items, kind, paired), kind, paired) == list(answers)


def test_pairs_as_a_method_is_told_them() -> None:
    answers = ("first", "second", "tie", "skip")
    assert told(answers, 8, "pairs", True) == [(0, 1), (3, 2), Tie(4, 5)]
    assert told(answers, 9, "binary", True) == [1, 0, 0, 1, 0.5, 0.5, None, None, None]


def test_grades_and_pairs_of_a_script() -> None:
    assert shown(Feedback(np.array([0.75, 0.5, np.nan])), "graded", False) == ["like", "dislike", "skip"]
    made = Feedback(np.full(4, np.nan), None, np.array([[0, 2], [3, 2]]), None)
    assert shown(made, "pairs", True) == ["skip", "second"]


def test_wrong_answers_are_refused() -> None:
    for answers in (("like",), ("like", "first"), ("like", "like", "like")):
        refused(AnswerError, lambda answers=answers: told(answers, 2, "binary", False), "2 answers are needed")


class Round:
    def __init__(self, kept: Feedback) -> None:
        self.pictures, self.feedback = [b""] * len(kept.preference), kept


def test_exported_pairs_are_numbered_through_all_rounds() -> None:
    first = Round(feedback(("like", "dislike", "skip", "dislike"), 4, "binary", False))
    second = Round(feedback(("second", "tie"), 4, "pairs", True))
    halves = Round(Feedback(np.array([0.5, 1.0])))
    found = [(0, 1, 1.0), (0, 3, 1.0), (5, 4, 1.0), (6, 7, 0.5)]
    assert list(pairs([first, second, halves])) == found
