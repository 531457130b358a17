"""The rounds as the page shows them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from papa.errors import AnswerError
from papa.feedback import Feedback, Kind, Query, Question
from papa.serve.rounds import Rounds

PICTURES = [b"a", b"b", b"c", b"d", b"e"]


def question(index: int, kind: Kind = "binary") -> Question:
    return Question(index, Query(torch.zeros(5, 2), kind=kind), torch.zeros(5, 2))


@pytest.mark.parametrize(
    ("paired", "kind", "units", "words"),
    [(False, "binary", 5, "like"), (True, "binary", 2, "tie"), (False, "pairs", 2, "tie")],
)
def test_a_round_takes_the_answers_of_the_way_it_is_shown(paired: bool, kind: Kind, units: int, words: str) -> None:
    rounds = Rounds(paired)
    rounds.show(question(0, kind), lambda: PICTURES, stamp=1)
    here = rounds.get(0)
    assert here is not None and here.units == units and here.paired == (units == 2)
    assert here.takes(units - 1, words) and here.takes(0, "skip") and here.takes(0, None)
    assert not here.takes(units, words) and not here.takes(0, "tie" if words == "like" else "like")
    with pytest.raises(AnswerError, match=f"{units} answers are needed"):
        rounds.told(question(0, kind), [words] * (units + 1))


def test_answers_come_back_as_they_were_given() -> None:
    rounds = Rounds(paired=True)
    rounds.show(question(0), lambda: PICTURES, stamp=1)
    preferences = rounds.told(question(0), ["second", "tie"])
    assert preferences == [0.0, 1.0, 0.5, 0.5, None]
    rounds.learned(0, Feedback(np.array([np.nan if preference is None else preference for preference in preferences])))
    here = rounds.get(0)
    assert here is not None and here.answers() == ["second", "tie"]


def test_a_round_that_is_there_is_not_drawn_again() -> None:
    rounds = Rounds(paired=False)
    rounds.show(question(0), lambda: PICTURES, stamp=1)
    rounds.show(question(0), lambda: pytest.fail("drawn again"), stamp=2)
    here = rounds.get(0)
    assert here is not None and here.stamp == 1
    assert rounds.picture(0, 4) == b"e" and rounds.picture(0, 5) is None and rounds.picture(1, 0) is None


def test_what_came_after_a_reopened_round_is_forgotten() -> None:
    rounds = Rounds(paired=False)
    for index in range(3):
        rounds.show(question(index), lambda: PICTURES, stamp=index)
        rounds.learned(index, Feedback(np.ones(5)))
    rounds.learned(7, Feedback(np.ones(5)))  # was never shown: a session that is read again from its log
    assert [here.stamp for here in rounds.answered(before=2)] == [0, 1]
    rounds.forget_after(1)
    assert rounds.get(2) is None and rounds.get(1) is not None and len(rounds.answered(before=9)) == 2
    rounds.clear()
    assert rounds.get(0) is None
