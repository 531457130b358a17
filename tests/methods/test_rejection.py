"""Best of n and accept: what is picked, what it costs, and whose labels they learn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support import tiny
from support.every_method import build, model_of
from support.small_papa import method as papa_alone

from papa.benchmark.tasks.digits.task import Digits
from papa.feedback import Feedback
from papa.methods.accept import Accept
from papa.methods.interface import evaluations_per_sample
from papa.methods.papa import PapaSettings
from papa.methods.reward_model import RewardModel, RewardModelSettings
from papa.rng import Stream


def accept(**given: Any) -> Accept:
    """Whose surrogate scores a point by its first coordinate."""
    method: Any = build("accept", "gmm2d", **given)
    method.surrogate.model = lambda latents: latents[:, 0].float()
    return method


def test_accept_takes_the_first_that_passes_and_pays_up_to_it() -> None:
    method = accept(n=4, level=0.5)
    candidates = method.base_latents(64).view(16, 4, 2)
    before = method.cost.forward
    found = method.sample(16)
    looked_at = 0
    for block, taken in zip(candidates, found, strict=True):
        passing = [i for i in range(4) if block[i, 0] >= 0.5]
        index = passing[0] if passing else int(block[:, 0].argmax())
        assert torch.equal(taken, block[index])
        looked_at += index + 1 if passing else 4
    assert 16 < looked_at < 64, "some passed at once and some did not"
    assert method.cost.forward - before == looked_at * evaluations_per_sample(model_of("gmm2d"))


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_accept_at_its_ends_is_the_base_and_best_of_n(level: float) -> None:
    method = accept(n=4, level=level)
    method.surrogate.model = lambda latents: torch.sigmoid(latents[:, 0].float())
    best = build("best_of_n", "gmm2d", n=4)
    best.surrogate.model = method.surrogate.model
    expected = best.base_latents(32).view(8, 4, 2)[:, 0] if level == 0 else best.sample(8)
    assert torch.equal(method.sample(8), expected)


def test_a_reward_model_on_papas_labels_asks_what_papa_asks(digits: Digits) -> None:
    """The same queries to the last bit, and in the end another thing is drawn: the base's samples, picked."""
    papa = papa_alone(digits)
    settings = tiny.small(RewardModelSettings, papa=tiny.small(PapaSettings))
    base = torch.from_numpy(Stream(3).normal(64, *digits.model.shape))
    method = RewardModel(settings, digits.model, Stream(0), lambda n: base[:n])
    for preference in ([1.0, 0.0], [0.0, 1.0], [1.0]):
        ours, theirs = method.ask(len(preference)), papa.ask(len(preference))
        assert torch.equal(ours.latents, theirs.latents)
        answers = Feedback(np.array(preference), np.array(preference))
        method.tell(ours, answers)
        papa.tell(theirs, answers)
    assert torch.equal(method.surrogate.seen.latents, papa.seen.latents)
    assert method.cost.backward == papa.cost.backward > 0, "what its labels took is counted"
    picked = method.sample(4)
    assert all(any(torch.equal(image, of) for of in base) for image in picked)
    assert not torch.equal(picked, papa.sample(4))


def test_papa_asks_within_the_budget_of_the_reward_model() -> None:
    settings = RewardModelSettings(labels=16, per_round=4, papa=PapaSettings(labels=80, c_qpde=0.5))
    assert (settings.asker.labels, settings.asker.per_round, settings.asker.c_qpde) == (16, 4, 0.5)
    assert settings.training.chunk == PapaSettings().chunk
