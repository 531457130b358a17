"""A session: the loop, the answers, and samples in between."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.answered import ROUNDS, finish, rule, session
from support.refusals import refused

from papa import session as module
from papa.benchmark.tasks.digits.task import Digits
from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.errors import AnswerError, ModelError, SessionError, SettingsError
from papa.feedback import Query, Tie
from papa.methods.base import BASE, Base
from papa.session import Session


def test_the_loop_asks_until_the_labels_are_spent(plane: Gmm2d) -> None:
    of, sizes = session(plane.model), []
    for question in of:
        assert of.round == question.round == len(sizes)
        assert question.kind == "binary" and question.condition is None
        assert len(question) == len(question.images) == len(question.latents)
        sizes.append(len(question))
        of.answer(rule(question))
    assert sizes == [2, 2, 1] and of.round == of.rounds == ROUNDS
    assert list(of) == []
    refused(SessionError, of.ask, "all 5 labels")


def test_every_label_is_shown_and_answered_once(plane: Gmm2d) -> None:
    happened = list(session(plane.model, labels=7, per_round=3).play(rule))  # they override the settings
    assert [len(r.feedback.preference) for r in happened] == [3, 3, 1] and not any(r.replayed for r in happened)
    assert len(torch.cat([r.question.latents for r in happened]).unique(dim=0)) == 7


def test_a_question_stays_the_same_until_it_is_answered(plane: Gmm2d) -> None:
    of = session(plane.model)
    first = of.ask()
    assert of.ask() is first and next(iter(of)) is first
    of.answer(rule(first))
    assert of.ask() is not first and of.ask().round == 1


def test_an_unanswered_question_stops_the_loop_and_is_asked_again(plane: Gmm2d) -> None:
    of, seen = session(plane.model), []

    def forgetful() -> None:
        for question in of:
            seen.append(question)

    refused(SessionError, forgetful, "question 1 was not answered", "`answer`")
    assert len(seen) == 1 and of.ask() is seen[0]


def test_an_answer_without_a_question_is_refused(plane: Gmm2d) -> None:
    of = session(plane.model)
    refused(SessionError, lambda: of.answer([True, True]), "no question is open", "`ask`")
    of.answer(rule(of.ask()))
    refused(SessionError, lambda: of.answer([True, True]), "no question is open")
    assert of.round == 1


def test_settings_that_do_not_fit_are_refused(plane: Gmm2d) -> None:
    refused(SettingsError, lambda: session(plane.model, "best_of_m"), "did you mean 'best_of_n'")
    refused(SettingsError, lambda: session(plane.model, settings={"lables": 3}), "did you mean 'labels'")
    refused(SettingsError, lambda: session(plane.model, labels=0), "labels")
    refused(SettingsError, lambda: session(plane.model, "fkc", settings={"reward": "true"}), "give `oracle`")
    refused(ModelError, lambda: session(plane.model, "papa"), "no network to fine-tune")
    pipe: Any = object()
    refused(ModelError, lambda: Session("folder", "papa"), "a str", "papa.Model.from_pretrained")  # type: ignore[arg-type]
    refused(ModelError, lambda: Session(pipe, "papa"), "papa.Model.from_pipeline")
    for n in (0, -3):
        refused(SessionError, lambda n=n: session(plane.model).sample(n), "at least 1")


def test_the_seed_decides_and_nothing_else(plane: Gmm2d) -> None:
    once, again, other = (finish(session(plane.model, seed=seed)) for seed in (3, 3, 4))
    assert torch.equal(once, again) and not torch.equal(once, other)


WRONG: list[Any] = [[5, 3], [True], ["yes", "no"], None, [(0, 1), (1, 0)], np.ones((2, 1)), {0: True, 1: False}]


def test_wrong_answers_leave_the_question_open_and_the_log_alone(plane: Gmm2d, log: Path) -> None:
    of = session(plane.model, log=log)
    question, before = of.ask(), log.read_bytes()
    for answers in WRONG:
        refused(AnswerError, lambda answers=answers: of.answer(answers))
        assert of.ask() is question and of.round == 0 and log.read_bytes() == before, answers
    assert torch.equal(finish(of), finish(session(plane.model)))


class AsksForPairs(Base):
    """The base, asking for pairs; it learns from no ties between the first two, and keeps what it was told."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.told: list[Any] = []

    def ask(self, k: int) -> Query:
        asked = super().ask(k)
        return Query(asked.latents, asked.condition, "pairs")

    def check(self, query: Query, feedback: Any) -> None:
        super().check(query, feedback)
        if [0, 1] in feedback.ties.tolist():
            raise AnswerError("this method learns from no such ties")

    def learn(self, query: Query, feedback: Any) -> None:
        self.told.append((feedback.pairs.tolist(), feedback.ties.tolist()))


def test_pairs_and_ties_are_answered_logged_and_replayed(
    plane: Gmm2d, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("papa.methods.base.BASE", replace(BASE, method=AsksForPairs))
    of = session(plane.model, "base", per_round=4, labels=8, log=log)
    assert of.ask().kind == "pairs"
    for wrong in ([True] * 4, [(0, 4)], [(1, 1)], [Tie(0, 9)], [Tie(0, 1)]):
        refused(AnswerError, lambda wrong=wrong: of.answer(wrong))
    of.answer([(0, 1), Tie(2, 3), [3, 1]])
    of.ask()
    of.answer([])  # none of them compared
    told: Any = of.method
    assert told.told == [([[0, 1], [3, 1]], [[2, 3]]), ([], [])]
    of.close()
    again = session(plane.model, "base", per_round=4, labels=8, log=log)
    assert [r.replayed for r in again.replay()] == [True, True]
    replayed: Any = again.method
    assert replayed.told == told.told


@pytest.mark.parametrize("method", ["papa", "fkc", "best_of_n"])
def test_sampling_changes_nothing_that_was_learned(digits: Digits, method: str) -> None:
    of = session(digits.model, method)
    for question in of:
        assert torch.equal(of.sample(3), of.sample(3)) and of.ask() is question
        of.answer(rule(question))
    assert torch.equal(of.sample(4), finish(session(digits.model, method)))


@pytest.mark.parametrize("name", ["plane", "digits"])
def test_images_changed_in_place_change_neither_the_log_nor_what_is_learned(
    name: str, log: Path, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(name).model
    with session(model, log=log) as of:
        for question in of:
            answers = rule(question)
            question.images.clamp_(-0.1, 0.1)
            of.answer(answers)
        changed = of.sample(4)
    assert torch.equal(changed, finish(session(model)))
    with session(model, log=log) as again:
        assert torch.equal(again.sample(4), changed) and again.round == ROUNDS


def test_of_several_threads_one_answers_and_the_others_are_refused(
    plane: Gmm2d, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session(plane.model, log=log) as of:
        of.ask()
        check, together = of.method.check, threading.Barrier(3)
        monkeypatch.setattr(of.method, "check", lambda *given: (time.sleep(0.05), check(*given)))

        def answer(_: int) -> bool:
            together.wait()
            try:
                of.answer([True, False])
            except SessionError:
                return False
            return True

        with ThreadPoolExecutor(3) as threads:
            assert sorted(threads.map(answer, range(3))) == [False, False, True]
        assert len(log.read_text().splitlines()) == 2
    assert session(plane.model, log=log).ask().round == 1


def test_the_example_of_the_module_runs(digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer labels, and answers instead of the three dots."""
    lines = re.findall(r"^    (.*)$", (module.__doc__ or "").split("Each answered round")[0], re.MULTILINE)
    code = "\n".join(lines).replace("labels=80", "labels=5, settings={'per_round': 2, 'updates': 1, 'items': 2}")
    assert "[...]" in code and "session.save" in code
    monkeypatch.chdir(tmp_path)
    exec(code.replace("[...]", "[True] * len(question)"), {"Session": Session, "model": digits.model})
    assert (tmp_path / "aligned" / "model_index.json").exists()
    assert len((tmp_path / "me.jsonl").read_text(encoding="utf-8").splitlines()) == 4
