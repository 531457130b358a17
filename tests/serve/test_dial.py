"""The dial: from the base to the aligned model and beyond; the method itself never changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support import served
from torch import Tensor

from papa.methods import METHODS, declaration
from papa.methods.interface import Method
from papa.serve.dial import dial_of, method_at
from papa.session import Session

ALONE = [name for name in METHODS if not declaration(name).settings().needs_adapter]


def taught(method: str, **settings: Any) -> Session:
    """A session that learned from one round."""
    given = served.small(method) | {"labels": 8, "per_round": 4} | settings
    session = Session(served.model(), method, settings=given)
    session.ask()
    session.answer([True, False, True, False])
    return session


def sampled(method: Method[Any]) -> Tensor:
    return method.sample(3).detach()


@pytest.mark.parametrize("name", ALONE)
def test_the_dial_leaves_the_method_unchanged(name: str) -> None:
    session = taught(name)
    before = sampled(session.method)
    dial = dial_of(session.method)
    if dial is None:
        assert name in ("base", "distill"), "a method that could have a dial has none"
        return
    assert dial.least <= dial.default <= dial.most
    for value in (dial.least, dial.most):
        assert torch.isfinite(sampled(method_at(session.method, value))).all()
    assert torch.equal(sampled(method_at(session.method, dial.default)), before)
    assert torch.equal(sampled(session.method), before)


@pytest.mark.parametrize("settings", [{}, {"trainable": "lora", "lora_rank": 2}], ids=["all weights", "adapters"])
def test_the_strength_goes_from_the_base_to_the_aligned_model_and_beyond(settings: dict[str, Any]) -> None:
    session = taught("papa", lr=0.02, **settings)
    method, dial = session.method, dial_of(session.method)
    assert dial is not None
    base = method.draw(session.model.denoiser(method.cost), 3, method.stream.at("sample"))
    aligned = sampled(method)
    assert (aligned - base).abs().max() > 1e-3
    assert torch.allclose(sampled(method_at(method, 0)), base, atol=1e-4)
    near, far = ((sampled(method_at(method, value)) - base).norm() for value in (0.5, 1.5))
    assert near < (aligned - base).norm() < far


def test_one_candidate_and_beta_zero_are_the_base() -> None:
    best: Any = taught("best_of_n").method
    dial = dial_of(best)
    assert dial is not None and torch.equal(sampled(method_at(best, 1)), best.base_latents(3))
    fkc: Any = taught("fkc").method
    other: Any = method_at(fkc, 0)
    assert other.beta(last=True) == 0 < fkc.beta(last=True)
