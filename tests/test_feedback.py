"""A user's answers: which are accepted, what number each becomes, and which are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.refusals import refused

from papa.errors import AnswerError
from papa.feedback import Feedback, Kind, Query, Tie, feedback_of


def query(k: int = 4, kind: Kind = "binary") -> Query:
    return Query(torch.zeros(k, 2), kind=kind)


@pytest.mark.parametrize(
    ("answers", "preference"),
    [
        ([True, 0.5, None, 0], [1, 0.5, np.nan, 0]),
        ([float("nan"), 1, 0, np.nan], [np.nan, 1, 0, np.nan]),
        (np.array([True, False, True, False]), [1, 0, 1, 0]),
        (np.array([0.25, np.nan, 1, 0], dtype=np.float32), [0.25, np.nan, 1, 0]),
        ([np.True_, np.float64(0.5), np.int64(0), np.array(1)], [1, 0.5, 0, 1]),
        (torch.tensor([1.0, 0.0, 0.5, 0.25]), [1, 0, 0.5, 0.25]),
    ],
    ids=str,
)
def test_answers_become_preferences(answers: Any, preference: list[float]) -> None:
    np.testing.assert_array_equal(feedback_of(answers, query()).preference, np.array(preference, dtype=np.float64))


@given(st.lists(st.one_of(st.booleans(), st.none(), st.floats(allow_nan=False)), min_size=1, max_size=6))
def test_answers_in_the_unit_interval_are_kept_and_others_refused(answers: list[bool | float | None]) -> None:
    if all(value is None or 0 <= value <= 1 for value in answers):
        found = feedback_of(answers, query(len(answers))).preference
        assert found.dtype == np.float64
        assert [None if np.isnan(value) else value for value in found] == answers
    else:
        refused(AnswerError, lambda: feedback_of(answers, query(len(answers))), "0, 0.25, 0.5, 0.75, 1")


@pytest.mark.parametrize(
    "answers",
    [
        [True, False, True],
        ["1", "0", "1", "0"],  # float("1") is a number
        [[True], [False], [True], [False]],
        [1j, 0, 0, 0],
        [10**400, 0, 0, 0],
        [(0, 1), (2, 3), (0, 3), (1, 2)],  # pairs where none were asked for
        [Tie(0, 1)] * 4,
        "1010",
        None,
        {0: True, 1: False, 2: 0, 3: 1},  # its keys are numbers from 0 on
        pytest.param({True, False, 0.5, 0.25}, id="a set"),  # its text may have any order
        pytest.param((True for _ in range(4)), id="a generator"),
    ],
    ids=str,
)
def test_ambiguous_answers_are_refused(answers: Any) -> None:
    refused(AnswerError, lambda: feedback_of(answers, query()))


@pytest.mark.parametrize(
    ("answers", "pairs", "ties"),
    [
        ([(0, 1), (3, 2)], [[0, 1], [3, 2]], []),
        ([[0, 1], Tie(2, 3)], [[0, 1]], [[2, 3]]),
        (np.array([[0, 1], [2, 3]]), [[0, 1], [2, 3]], []),
        ([], [], []),
    ],
    ids=str,
)
def test_pairs_and_ties(answers: Any, pairs: list[list[int]], ties: list[list[int]]) -> None:
    found = feedback_of(answers, query(kind="pairs"))
    assert found.pairs is not None and found.ties is not None
    assert found.pairs.tolist() == pairs and found.ties.tolist() == ties
    assert found.pairs.shape == (len(pairs), 2) and found.pairs.dtype == np.int64
    assert len(found.preference) == 4 and np.isnan(found.preference).all()


WRONG: list[Any] = [
    [(0, 4)],
    [(-1, 0)],
    [(2, 2)],
    [Tie(0, 4)],
    [(0, 1, 2)],
    [(0.7, 1.2)],
    ["01"],
    [(True, False)],
]


@pytest.mark.parametrize("answers", [*WRONG, [True, False, None, True], None, {0: 1}], ids=str)
def test_other_than_pairs_of_shown_items_are_refused(answers: Any) -> None:
    refused(AnswerError, lambda: feedback_of(answers, query(kind="pairs")))


def test_feedback_passes_through_if_it_fits() -> None:
    made = Feedback(np.array([1.0, 0, np.nan, 0.5]), np.array([0.9, 0.1, 0.5, 0.5]))
    assert feedback_of(made, query()) is made
    for make in (
        lambda: Feedback(np.array([1.0, 0, 1])),
        lambda: Feedback(np.full(4, np.nan), pairs=np.array([[0, 4]])),
        lambda: Feedback(np.full(4, np.nan), pairs=np.array([[0.0, 1.0]])),
        lambda: Feedback(np.full((4, 1), 1.0)),
        lambda: Feedback(np.array([2.0, 0, 0, 0])),
    ):
        refused(AnswerError, lambda make=make: feedback_of(make(), query()))
