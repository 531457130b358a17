"""Every method, made small, on tasks that it can run on. The registries decide which those are."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from torch import Tensor

from papa.benchmark import tasks
from papa.benchmark.tasks.interface import Task
from papa.benchmark.users.interface import User
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.methods import METHODS, declaration
from papa.methods.interface import Method
from papa.models.interface import Model
from papa.rng import Stream
from support import tiny, tiny_families, tiny_mnist, tiny_sd15, users_of

LABELS, K = 5, 2
SIZES = (2, 2, 1)
"""Items of each round."""


@cache
def task_of(name: str) -> Task:
    declared = tasks.declaration(name)
    if "mnist" in name:
        return tiny_mnist.task(name)
    # Random pipelines stand in for the weights that are not shipped, and for those of one's own.
    if name == "pipeline":
        return declared.load()(declared.settings.model_validate(tiny_families.own_task()))
    return declared.load()(tiny_sd15.settings() if name == "sd15" else declared.settings(steps=3))


def model_of(task: str) -> Model:
    return task_of(task).model


@cache
def base_pool(task: str) -> Tensor:
    """64 base samples: what every method of this task and seed shares."""
    of = model_of(task)
    noise = stream_noise(Stream(0).at("sample"), (64, *of.shape), of.dtype)
    return euler_ancestral(of.denoiser(Cost()), of.sigmas(), noise)


@cache
def user_of(task: str) -> User:
    own = tasks.declaration(task).users
    configured = {} if own else tiny_families.PEARS
    user = users_of.user_of(task, next(iter(own or configured)), **configured)
    user.calibrate(task_of(task))
    return user


def build(name: str, task: str, seed: int = 0, **given: Any) -> Method[Any]:
    declared = declaration(name)
    settings = tiny.small(declared.settings, **given)
    oracle = user_of(task).preference if settings.needs_oracle else None
    return declared.method(settings, model_of(task), Stream(seed), lambda n: base_pool(task)[:n].clone(), oracle)


def fits(name: str, task: str) -> bool:
    """Whether a method can run on a task."""
    settings, of = declaration(name).settings(), tasks.declaration(task)
    return (settings.training is None or of.finetunes) and (not settings.needs_adapter or "adapter" in of.extra)


ELSEWHERE = {
    "gmm2d": ("base", "best_of_n", "accept", "fkc", "reward_guidance", "fk_steering", "das"),
    "fruits": ("ppd", "ppd_papa", "ppd_fkc", "papa", "fkc", "best_of_n"),
    "sd15": ("papa",),
    "pipeline": ("epapa",),
    "mnist": ("papa",),
}
"""Every method is tried on digits where it can run; some elsewhere, for points, prompts and other networks."""
PAIRS = [(name, "digits") for name in METHODS if fits(name, "digits")]
PAIRS += [(name, task) for task, names in ELSEWHERE.items() for name in names]
everywhere = pytest.mark.parametrize(("name", "task"), PAIRS)
