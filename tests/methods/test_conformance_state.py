"""Every method's state can be saved and restored, and its log replayed."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import torch
from support.every_method import K, build, everywhere, rounds, task_of, user_of
from support.playing import Logged
from torch import Tensor

from papa.feedback import Feedback, Query, Question
from papa.log import feedback_from, log_line
from papa.methods.interface import Method
from papa.rng import Stream


def one_more(method: Method[Any], task: str) -> Tensor:
    """Another round, and samples."""
    query = method.ask(K)
    method.tell(query, user_of(task).answer(task_of(task).model.decode(query.latents), query.kind, Stream(0)))
    return method.sample(6)


@everywhere
def test_a_restored_method_samples_the_same_and_learns_on_the_same(name: str, task: str) -> None:
    method = build(name, task)
    rounds(method, task)
    state, samples = method.state(), method.sample(6)
    asked = method.ask(K).latents
    further = []
    for _ in range(2):  # twice from one state: the first restored method must not write into it
        restored = build(name, task)
        restored.restore(state)
        assert restored.round == method.round == 3
        assert torch.equal(restored.sample(6), samples)
        assert torch.equal(restored.ask(K).latents, asked)
        further.append(one_more(restored, task))
    assert torch.equal(*further)
    assert torch.equal(one_more(method, task), further[0])


@everywhere
def test_a_state_stays_what_it_was_when_the_method_learns_on(name: str, task: str) -> None:
    method = build(name, task)
    one_more(method, task)
    state = method.state()
    frozen = copy.deepcopy(state)
    one_more(method, task)
    first, second = build(name, task), build(name, task)
    first.restore(state)
    second.restore(frozen)
    assert torch.equal(first.sample(6), second.sample(6))


@everywhere
def test_replaying_the_log_gives_the_state_back(name: str, task: str) -> None:
    method = build(name, task)
    happened = rounds(method, task)
    replayed = build(name, task)
    again = rounds(replayed, task, user=Logged(happened))
    assert all(torch.equal(a.question.latents, b.question.latents) for a, b in zip(happened, again, strict=True))
    assert torch.equal(replayed.sample(6), method.sample(6)) and replayed.cost.forward == method.cost.forward


@everywhere
def test_an_interrupted_session_goes_on_from_its_log(name: str, task: str) -> None:
    whole = build(name, task)
    happened = rounds(whole, task)
    resumed = build(name, task)
    rounds(resumed, task, user=Logged(happened[:2], user_of(task)))
    assert torch.equal(resumed.sample(6), whole.sample(6))


def test_a_log_line_survives_missing_answers_and_pairs() -> None:
    feedback = Feedback(np.array([1.0, np.nan]), np.array([0.9, 0.2]), np.array([[0, 1]]))
    question = Question(0, Query(torch.zeros(2, 2), ["a cat", "a cat"]), torch.zeros(2, 2))
    line = json.loads(json.dumps(log_line(question, feedback)))
    assert line["preference"] == [1.0, None] and line["condition"] == ["a cat", "a cat"]
    back = feedback_from(line)
    np.testing.assert_array_equal(back.preference, feedback.preference)
    np.testing.assert_array_equal(back.pairs, feedback.pairs)
