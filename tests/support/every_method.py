"""Every method, made small, on every task that it can run on. The registries decide which those are."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from torch import Tensor

from papa.benchmark.registry import METHODS, TASKS, USERS
from papa.benchmark.tasks.interface import Task
from papa.benchmark.users.interface import User
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.errors import PapaError
from papa.methods.interface import Method
from papa.rng import Stream
from papa.session import Round, interact
from support import tiny, tiny_sd15

LABELS, K = 5, 2  # the last round is a short one


@cache
def task_of(name: str) -> Task:
    # A random pipeline stands in for the weights that are not shipped.
    return TASKS[name].load()(tiny_sd15.settings() if name == "sd15" else TASKS[name].settings(steps=3))


@cache
def base_pool(task: str) -> Tensor:
    """64 base samples: what every method of this task and seed shares."""
    of = task_of(task)
    noise = stream_noise(Stream(0).at("sample"), (64, *of.shape), of.dtype)
    return euler_ancestral(of.denoiser(Cost()), of.sigmas(), noise)


@cache
def user_of(task: str) -> User:
    user = next(iter(USERS[task].values())).load()
    user.meet(task_of(task))
    return user


def build(name: str, task: str, seed: int = 0, **given: Any) -> Method[Any]:
    entry = METHODS[name]
    settings = tiny.small(entry.settings, **given)
    oracle = user_of(task).liking if settings.wants_oracle else None
    return entry.load()(settings, task_of(task), Stream(seed), lambda n: base_pool(task)[:n].clone(), oracle)


def needs_a_network(name: str, task: str) -> bool:
    try:
        build(name, task)
    except PapaError:
        return True
    return False


PAIRS = [(name, task) for name in METHODS for task in TASKS if not needs_a_network(name, task)]
everywhere = pytest.mark.parametrize(("name", "task"), PAIRS)


def rounds(method: Method[Any], task: str, log: list[dict[str, Any]] | None = None, user: Any = None) -> list[Round]:
    """A whole session."""
    whims = Stream(0).at("whims")
    return list(interact(method, user or user_of(task), task_of(task), whims, LABELS, K, log or []))
