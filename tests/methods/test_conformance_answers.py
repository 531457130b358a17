"""Every method survives answers that are missing, whole rounds of them, and graded ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.every_method import K, build, everywhere, rounds, user_of
from torch import Tensor

from papa.benchmark.users.interface import User
from papa.feedback import Feedback
from papa.rng import Stream


class Mute:
    """Answers nothing (share 1), or leaves items out at random."""

    def __init__(self, user: User, share: float) -> None:
        self.user, self.share = user, share

    def answer(self, images: Tensor, kind: Any, stream: Stream) -> Feedback:
        told = self.user.answer(images, kind, stream)
        silent = stream.at("silent").uniform(len(images)) < self.share
        return Feedback(np.where(silent, np.nan, told.preference), told.probability)


@everywhere
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_missing_answers_are_survived(name: str, task: str, share: float) -> None:
    method = build(name, task)
    happened = rounds(method, task, user=Mute(user_of(task), share))
    missing = np.isnan(np.concatenate([h.feedback.preference for h in happened]))
    assert missing.any() and missing.all() == (share == 1.0)
    assert torch.isfinite(method.sample(4)).all()


@everywhere
def test_a_round_without_answers_between_others_is_survived(name: str, task: str) -> None:
    method = build(name, task)
    for h in range(3):
        query = method.ask(K)
        answer = np.full(K, np.nan) if h == 1 else np.array([1.0, 0.0])
        method.tell(query, Feedback(answer, np.array([0.9, 0.1])))
    assert torch.isfinite(method.sample(4)).all()


@everywhere
def test_graded_answers_are_survived(name: str, task: str) -> None:
    method = build(name, task)
    for _ in range(2):
        method.tell(method.ask(K), Feedback(np.array([0.3, 0.5]), np.array([0.3, 0.5])))
    assert torch.isfinite(method.sample(4)).all()
