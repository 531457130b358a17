"""The dial: its ends are the base and what was learned, and turning it changes nothing that was learned."""

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


def told(method: str, **settings: Any) -> Session:
    """A session that learned from one round."""
    given = served.small(method) | {"labels": 8, "per_round": 4} | settings
    session = Session(served.model(), method, settings=given)
    session.ask()
    session.answer([True, False, True, False])
    return session


def drawn(method: Method[Any]) -> Tensor:
    return method.sample(3).detach()


@pytest.mark.parametrize("name", ALONE)
def test_turning_the_dial_changes_nothing_that_was_learned(name: str) -> None:
    session = told(name)
    before = drawn(session.method)
    dial = dial_of(session.method)
    if dial is None:
        assert name in ("base", "distill"), "a method that could have a dial has none"
        return
    assert dial.least <= dial.default <= dial.most
    for value in (dial.least, dial.most):
        assert torch.isfinite(drawn(method_at(session.method, value))).all()
    assert torch.equal(drawn(method_at(session.method, dial.default)), before)
    assert torch.equal(drawn(session.method), before)


@pytest.mark.parametrize("settings", [{}, {"trainable": "lora", "lora_rank": 2}], ids=["all weights", "adapters"])
def test_the_scale_goes_from_the_base_to_what_was_learned_and_beyond(settings: dict[str, Any]) -> None:
    session = told("papa", lr=0.02, **settings)
    method, dial = session.method, dial_of(session.method)
    assert dial is not None
    base = method.draw(session.model.denoiser(method.cost), 3, method.stream.at("sample"))
    aligned = drawn(method)
    assert (aligned - base).abs().max() > 1e-3
    assert torch.allclose(drawn(method_at(method, 0)), base, atol=1e-4)
    near, far = ((drawn(method_at(method, value)) - base).norm() for value in (0.5, 1.5))
    assert near < (aligned - base).norm() < far


def test_half_the_scale_is_half_the_change_of_every_weight() -> None:
    for settings in ({}, {"trainable": "lora", "lora_rank": 2}):
        method: Any = told("papa", lr=0.02, **settings).method
        dial = dial_of(method)
        assert dial is not None
        half: Any = method_at(method, 0.5)
        for name, weight in half.network.named_parameters():
            learned, base = (dict(net.named_parameters())[name] for net in (method.network, method.base))
            wanted = learned if "lora_A" in name else (learned + base) / 2
            assert torch.allclose(weight, wanted, atol=1e-6), name


def test_one_candidate_is_the_base_and_no_temperature_tilts_nothing() -> None:
    best: Any = told("best_of_n").method
    dial = dial_of(best)
    assert dial is not None and torch.equal(drawn(method_at(best, 1)), best.base_latents(3))
    fkc: Any = told("fkc").method
    dial = dial_of(fkc)
    assert dial is not None and method_at(fkc, 0).strengths(last=True)["beta"] == 0  # type: ignore[attr-defined]
