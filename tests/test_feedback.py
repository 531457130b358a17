"""What a person may answer, what is refused, and that whatever is accepted means what was said."""

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
        ([True, False, None, True], [1, 0, np.nan, 1]),
        ([0.25, 0.5, 0, 1], [0.25, 0.5, 0, 1]),
        ((True, 0.5, None, 0), [1, 0.5, np.nan, 0]),
        ([None] * 4, [np.nan] * 4),
        ([float("nan"), 1, 0, np.nan], [np.nan, 1, 0, np.nan]),
        (np.array([True, False, True, False]), [1, 0, 1, 0]),
        (np.array([0.25, np.nan, 1, 0], dtype=np.float32), [0.25, np.nan, 1, 0]),
        ([np.True_, np.float64(0.5), np.int64(0), np.array(1)], [1, 0.5, 0, 1]),
        (torch.tensor([1.0, 0.0, 0.5, 0.25]), [1, 0, 0.5, 0.25]),
    ],
    ids=str,
)
def test_every_way_to_say_yes_no_and_nothing(answers: Any, preference: list[float]) -> None:
    np.testing.assert_array_equal(feedback_of(answers, query()).preference, np.array(preference, dtype=np.float64))


@given(st.lists(st.one_of(st.booleans(), st.none(), st.floats(0, 1)), min_size=1, max_size=12))
def test_an_accepted_answer_is_the_number_that_was_said(answers: list[bool | float | None]) -> None:
    found = feedback_of(answers, query(len(answers))).preference
    assert found.dtype == np.float64
    assert [None if np.isnan(value) else value for value in found] == answers


@given(st.lists(st.floats(allow_nan=False), min_size=4, max_size=4))
def test_numbers_outside_the_scale_are_refused_and_others_are_not(answers: list[float]) -> None:
    if all(0 <= value <= 1 for value in answers):
        feedback_of(answers, query())
    else:
        refused(AnswerError, lambda: feedback_of(answers, query()), "between 0 (disliked) and 1 (liked)")


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([1, -1, 1, -1], "-1 does not"),
        ([1, 3, 5, 4], "five stars to 0, 0.25"),
        ([True, False, True], "4 items were shown and 3 answered"),
        ([True] * 5, "4 items were shown and 5 answered"),
        ([], "4 items were shown and 0 answered"),
        (["yes", "no", "yes", "no"], "not 'yes'"),
        (["1", "0", "1", "0"], "not '1'"),  # float("1") is a number
        (["nan"] * 4, "not 'nan'"),
        ([b"1", b"0", b"1", b"0"], "not b'1'"),
        ([[True], [False], [True], [False]], "not [True]"),
        ([[1, 2], [3]], "not [1, 2]"),
        (np.ones((4, 1)), "not array([1.])"),
        ([1j, 0, 0, 0], "not 1j"),
        ([10**400, 0, 0, 0], "grade in [0, 1]"),
        ([float("inf"), 0, 0, 0], "inf does not"),
        ([(0, 1), (2, 3), (0, 3), (1, 2)], "not (0, 1)"),  # pairs where none were asked for
        ([Tie(0, 1)] * 4, "not Tie"),
        ("1010", "one entry for each item"),
        (b"1010", "one entry for each item"),
        (None, "one entry for each item"),
        (True, "one entry for each item"),
        (0.5, "one entry for each item"),
        (np.array(1.0), "one entry for each item"),
        ({0: True, 1: False, 2: 0, 3: 1}, "one entry for each item"),  # its keys are numbers from 0 on
        pytest.param({True, False, 0.5, 0.25}, "one entry for each item", id="a set"),  # its text may have any order
        pytest.param((True for _ in range(4)), "one entry for each item", id="a generator"),
    ],
    ids=str,
)
def test_answers_that_would_be_taken_for_something_else_are_refused(answers: Any, words: str) -> None:
    refused(AnswerError, lambda: feedback_of(answers, query()), words)


# ---------------------------------------------------------------- pairs


@pytest.mark.parametrize(
    ("answers", "pairs", "ties"),
    [
        ([(0, 1), (3, 2)], [[0, 1], [3, 2]], []),
        ([[0, 1], Tie(2, 3)], [[0, 1]], [[2, 3]]),
        ([Tie(1, 0)], [], [[1, 0]]),
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


@pytest.mark.parametrize(
    "answers",
    [
        [(0, 4)],
        [(-1, 0)],
        [(2, 2)],
        [Tie(0, 4)],
        [Tie(3, 3)],
        [(0, 1, 2)],
        [(0,)],
        [True, False, None, True],
        [(0.7, 1.2)],  # int() would make (0, 1) of it
        [Tie(0.5, 1)],  # type: ignore[arg-type]
        [("0", "1")],
        ["01"],
        [(True, False)],
        [(10**30, 0)],
        [None],
        "01",
        None,
        {0: 1},
        np.array([0, 1]),
    ],
    ids=str,
)
def test_what_is_no_pair_of_shown_items_is_refused(answers: Any) -> None:
    refused(AnswerError, lambda: feedback_of(answers, query(kind="pairs")))


# ---------------------------------------------------------------- feedback that was made already


def test_feedback_passes_through_when_it_fits() -> None:
    made = Feedback(np.array([1.0, 0, np.nan, 0.5]), np.array([0.9, 0.1, 0.5, 0.5]))
    assert feedback_of(made, query()) is made


@pytest.mark.parametrize(
    "make",
    [
        lambda: Feedback(np.array([1.0, 0, 1])),
        lambda: Feedback(np.full(4, np.nan), pairs=np.array([[0, 4]])),
        lambda: Feedback(np.full(4, np.nan), ties=np.array([[1, 1]])),
        lambda: Feedback(np.full(4, np.nan), pairs=np.array([[0.0, 1.0]])),
        lambda: Feedback(np.full(4, np.nan), pairs=np.array([0, 1])),
        lambda: Feedback(np.full((4, 1), 1.0)),
        lambda: Feedback(np.array(["1", "0", "1", "0"])),
        lambda: Feedback(np.array([2.0, 0, 0, 0])),
    ],
)
def test_feedback_that_does_not_fit_is_refused(make: Any) -> None:
    refused(AnswerError, lambda: feedback_of(make(), query()))
