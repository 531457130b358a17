"""A session learns the same whatever gradient mode its caller has set."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from support.answered import finish, session
from torch import Tensor, nn

from papa.benchmark.tasks.digits import DigitsSettings
from papa.benchmark.tasks.digits.task import Digits
from papa.diffusion.losses import backward

MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "set_grad_enabled": lambda: torch.set_grad_enabled(False),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
}
METHODS = ["papa", "epapa", "papa-lora", "raft", "diffusion_dpo", "seiko", "fkc"]


def samples_of(digits: Digits, method: str) -> Tensor:
    lora = {"trainable": "lora"} if method == "papa-lora" else {}
    return finish(session(digits.model, method.removesuffix("-lora"), settings=lora))


@cache
def expected(method: str) -> Tensor:
    return samples_of(Digits(DigitsSettings(steps=3)), method)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", METHODS)
def test_sessions_are_the_same_in_every_gradient_mode(digits: Digits, method: str, mode: str) -> None:
    wanted = expected(method)
    with MODES[mode]():
        assert torch.equal(samples_of(digits, method), wanted)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_was_loaded_in_inference_mode_learns(method: str) -> None:
    with torch.inference_mode():
        loaded = Digits(DigitsSettings(steps=3))
    assert torch.equal(samples_of(loaded, method), expected(method))


def test_a_loss_without_a_gradient_is_an_error() -> None:
    with torch.no_grad():
        loss = nn.Linear(2, 1)(torch.ones(2)).sum()
    with pytest.raises(RuntimeError):
        backward(loss)


def test_the_expected_sessions_learn_something() -> None:
    base = expected("base").numpy()
    assert all(np.abs(expected(method).numpy() - base).max() > 1e-3 for method in METHODS)
