"""The next question is sampled ahead if no answer can change it; nothing else is different then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.served import LABELS, K, Tab, desk, model, small

from papa.serve.previews import pngs
from papa.session import Session

AHEAD = {"base", "best_of_n", "accept", "distill"}


def opened(method: str, **more: Any) -> Session:
    return Session(model(), method, labels=LABELS, per_round=K, settings=small(method) | more)


@pytest.mark.parametrize("name", [*sorted(AHEAD), "papa", "fkc"])
def test_a_question_sampled_ahead_is_the_one_that_is_asked(name: str) -> None:
    assert opened(name).method.asks_the_base == (name in AHEAD)
    if name not in AHEAD:
        of = opened(name)
        of.ask()
        of.ask_ahead()
        assert of._ahead is None
        return
    for answers in ([True] * K, [False] * K):
        ahead, plain = opened(name), Session(model(), name, labels=LABELS, per_round=K, settings=small(name))
        for count in (K, K, LABELS - 2 * K):
            question, same = ahead.ask(), plain.ask()
            assert torch.equal(question.images, same.images) and torch.equal(question.query.latents, same.query.latents)
            ahead.ask_ahead()
            ahead.ask_ahead()  # a second time samples nothing
            assert ahead.ask() is question and len(question) == count
            ahead.answer(answers[:count])
            plain.answer(answers[:count])
        assert ahead.method.cost == plain.method.cost and ahead._ahead is None


def test_papa_asks_ahead_where_it_asks_the_base() -> None:
    of = opened("papa", queries="base")
    of.ask()
    of.ask_ahead()
    drawn = of._ahead
    of.answer([True, False] * (K // 2))
    assert drawn is not None and of.ask() is drawn
    assert not opened("best_of_n", surrogate={"query": "random"}).method.asks_the_base, "a pool knows what was shown"
    assert not Session(model(), "distill").method.asks_the_base, "by default it chooses from a pool"


@pytest.mark.parametrize("name", ["best_of_n", "papa"])
def test_the_log_of_the_page_is_that_of_a_session(name: str, tmp_path: Path) -> None:
    settings = small(name) | ({"queries": "base"} if name == "papa" else {})
    given: dict[str, Any] = {"labels": LABELS, "per_round": K, "settings": settings}
    answers = ("like", "dislike", "skip", "like")
    with desk(tmp_path / "page.jsonl", name, **given) as at:
        tab = Tab(at)
        for index in range(2):
            ahead: Any = at._session
            assert ahead._ahead.round == index + 1, "it was drawn before the confirmation"
            tab.answer(*answers)
        tab.undo()  # over the confirmation: what was drawn ahead is of the session before
        tab.answer(*answers)
        third = [at.image(2, item) for item in range(LABELS - 2 * K)]
        tab.answer(*answers[:2])
    with Session(model(), name, log=tmp_path / "own.jsonl", **given) as own:
        for told in ([1.0, 0.0, None, 1.0], [1.0, 0.0, None, 1.0]):
            own.ask()
            own.answer(told)
        assert pngs(own.model, own.ask().images) == third
        own.answer([1.0, 0.0])
    assert (tmp_path / "page.jsonl").read_bytes() == (tmp_path / "own.jsonl").read_bytes()
