"""The contract of every method: ask, tell, sample. Each (method, task) pair plays its sessions once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from support.every_method import PAIRS, SIZES, K, build, everywhere, task_of, user_of
from torch import Tensor

from papa.benchmark import grid
from papa.errors import PapaError
from papa.feedback import Feedback, Query, Question
from papa.log import feedback_from, log_line
from papa.methods import METHODS
from papa.methods.interface import Method
from papa.rng import Stream


@dataclass
class Played:
    """A whole session with samples between the rounds, and the same session from its log without them."""

    watched: Method[Any]
    plain: Method[Any]
    queries: list[Query]
    plain_queries: list[Query]
    samples: list[list[Tensor]]
    """For each round, samples before and after the query, twice each."""
    asked_again: list[Query]
    seen: list[Feedback]


def answer(name: str, task: str, query: Query, h: int) -> Feedback:
    """A simulated user's answers."""
    return user_of(task).answer(task_of(task).model.decode(query.latents), query.kind, Stream(0).at(round=h))


def through_json(h: int, query: Query, feedback: Feedback) -> Feedback:
    """The answers as the session's log stores them."""
    line = log_line(Question(h, query, torch.zeros(len(query.latents), 2)), feedback)
    return feedback_from(json.loads(json.dumps(line)))


@cache
def played(name: str, task: str) -> Played:
    found = Played(build(name, task), build(name, task), [], [], [], [], [])
    for h, k in enumerate(SIZES):
        before = [found.watched.sample(5), found.watched.sample(5)]
        query = found.watched.ask(k)
        found.samples.append([*before, found.watched.sample(5)])
        found.asked_again.append(found.watched.ask(k))
        found.queries.append(query)
        found.seen.append(answer(name, task, query, h))
        found.watched.tell(query, found.seen[-1])
    torch.manual_seed(5)  # global random numbers change nothing
    build(name, task, seed=3).ask(2)
    for h, k in enumerate(SIZES):
        query = found.plain.ask(k)
        found.plain_queries.append(query)
        found.plain.tell(query, through_json(h, query, found.seen[h]))
    return found


def test_every_method_and_every_task_is_tried() -> None:
    assert {name for name, _ in PAIRS} == set(METHODS)
    assert ("papa", "gmm2d") not in PAIRS and ("fkc", "gmm2d") in PAIRS


def test_a_method_that_needs_a_network_names_methods_that_do_not() -> None:
    with pytest.raises(PapaError, match="best_of_n"):
        build("papa", "gmm2d")


@everywhere
def test_shapes_diagnostics_and_cost(name: str, task: str) -> None:
    of, model = played(name, task), task_of(task).model
    assert [len(query.latents) for query in of.queries] == list(SIZES) and of.watched.round == 3
    for query in of.queries:
        assert query.latents.shape[1:] == model.shape and query.latents.dtype == model.dtype
        assert torch.isfinite(query.latents).all() and query.kind in ("binary", "graded", "pairs")
        assert query.condition is None or len(query.condition) == len(query.latents)
    method = of.plain
    assert all(isinstance(value, float) for value in method.diagnostics().values())
    before, samples = method.cost.forward, method.sample(4)
    assert samples.shape == (4, *model.shape) and torch.isfinite(samples).all()
    assert before > 0 and method.cost.forward >= before + 4 * 3  # three steps per sample, base samples included


@everywhere
def test_asking_and_sampling_change_nothing_and_the_log_gives_the_same_method(name: str, task: str) -> None:
    of = played(name, task)
    for first, *others in of.samples:
        assert all(torch.equal(first, other) for other in others)
    for query, again, plain in zip(of.queries, of.asked_again, of.plain_queries, strict=True):
        assert torch.equal(query.latents, again.latents) and torch.equal(query.latents, plain.latents)
    assert torch.equal(of.watched.sample(6), of.plain.sample(6))


@everywhere
def test_queries_differ_between_rounds_and_seeds(name: str, task: str) -> None:
    of = played(name, task)
    assert not torch.equal(of.queries[0].latents, of.queries[1].latents)
    assert not torch.equal(of.queries[0].latents, build(name, task, seed=1).ask(K).latents)


@everywhere
def test_missing_and_graded_answers(name: str, task: str) -> None:
    for rounds in ([[0.3, 0.5], [np.nan, np.nan], [1.0, np.nan]], [[np.nan, np.nan], [np.nan, np.nan], [0.0, 1.0]]):
        method = build(name, task)
        for values in rounds:
            method.tell(method.ask(K), Feedback(np.array(values), np.array([0.9, 0.1])))
        assert torch.isfinite(method.sample(4)).all()


ROOT = Path(__file__).parents[2]


def configured() -> list[tuple[str, str]]:
    """Each method label of config.yaml, with the first task that it runs on."""
    return list({spec.method: (spec.method, spec.task) for spec in grid.load(ROOT / "config.yaml")}.values())


@pytest.mark.parametrize(("label", "task"), configured())
def test_every_configured_method_learns_and_samples(label: str, task: str) -> None:
    data = yaml.safe_load((ROOT / "config.yaml").read_text())["methods"][label]
    few = {name: value for name, value in {"particles": 6, "labels": 5, "updates": 1}.items() if name in data}
    method = build(data.pop("algorithm", label), task, **data | few)
    method.tell(method.ask(K), Feedback(np.array([1.0, 0.0]), np.array([0.9, 0.1])))
    samples = method.sample(3)
    assert samples.shape[0] == 3 and torch.isfinite(samples).all()
