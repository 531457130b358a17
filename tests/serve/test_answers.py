"""From keystrokes to the answers of a session, and back."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from papa.errors import AnswerError
from papa.feedback import Feedback, Kind, Query, Tie, feedback_of
from papa.serve.answers import PAIRS, SINGLE, Shown
from papa.serve.exports import pairs


def shown(items: int, kind: Kind = "binary", paired: bool = False, feedback: Feedback | None = None) -> Shown:
    return Shown([b""] * items, kind, paired, feedback=feedback)


def answered(items: int, kind: Kind, paired: bool, answers: tuple[str, ...]) -> Shown:
    here = shown(items, kind, paired)
    return replace(here, feedback=feedback_of(here.encode(answers), Query(torch.zeros(items, 1), None, kind)))


@pytest.mark.parametrize(("kind", "paired"), [("binary", False), ("graded", False), ("binary", True), ("pairs", True)])
@pytest.mark.parametrize("items", [1, 2, 3, 4])
def test_decode_inverts_encode(kind: Kind, paired: bool, items: int) -> None:
    for answers in product(PAIRS if paired else SINGLE, repeat=shown(items, kind, paired).units):
        assert answered(items, kind, paired, answers).decode() == list(answers)


def test_pairs_as_a_method_gets_them() -> None:
    answers = ("first", "second", "tie", "skip")
    assert shown(8, "pairs", True).encode(answers) == [(0, 1), (3, 2), Tie(4, 5)]
    assert shown(9, "binary", True).encode(answers) == [1, 0, 0, 1, 0.5, 0.5, None, None, None]


def test_grades_and_pairs_of_a_script() -> None:
    graded = shown(3, "graded", feedback=Feedback(np.array([0.75, 0.5, np.nan])))
    assert graded.decode() == ["like", "dislike", "skip"]
    made = Feedback(np.full(4, np.nan), None, np.array([[0, 2], [3, 2]]), None)
    assert shown(4, "pairs", True, made).decode() == ["skip", "second"]


def test_wrong_answers_are_refused() -> None:
    here = shown(2)
    for answers in (("like",), ("like", "first"), ("like", "like", "like")):
        with pytest.raises(AnswerError):
            here.encode(answers)
    assert here.takes(1, "skip") and here.takes(0, None)
    assert not here.takes(2, "like") and not here.takes(0, "tie") and not here.takes(0, "maybe")


def test_exported_pairs_are_numbered_through_all_rounds() -> None:
    first = answered(4, "binary", False, ("like", "dislike", "skip", "dislike"))
    second = answered(4, "pairs", True, ("second", "tie"))
    halves = shown(2, feedback=Feedback(np.array([0.5, 1.0])))
    assert list(pairs([first, second, halves])) == [(0, 1, 1.0), (0, 3, 1.0), (5, 4, 1.0), (6, 7, 0.5)]
