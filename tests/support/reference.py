"""What the golden tests share: users, random numbers of many seeds at once, and errors of a mean over seeds."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.tasks import declaration
from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.benchmark.users.interface import User
from papa.models.mixture import Mixture
from papa.rng import Stream
from support.users_of import user_of

NAMES = tuple(declaration("gmm2d").users)
BOUNDS = {"share": 0.02, "mean": 0.04, "covariance": 0.05, "log_z": 0.1}


def reward_user(name: str, task: Gmm2d) -> User:
    user = user_of("gmm2d", name)
    user.calibrate(task)
    return user


def noise_of(seeds: int, n: int, d: int = 2) -> Callable[[int], Tensor]:
    """Step -> (seeds n, d) normals: one population a seed, each from a stream of its own."""

    def noise(step: int) -> Tensor:
        parts = [Stream(seed).at("noise", step=step).normal(n, d, dtype=np.float64) for seed in range(seeds)]
        return torch.from_numpy(np.concatenate(parts))

    return noise


def uniforms_of(seeds: int, n: int) -> Callable[[int], Tensor]:
    """Step -> (seeds, n) uniforms."""

    def uniforms(step: int) -> Tensor:
        return torch.from_numpy(np.stack([Stream(s).at("resampling", step=step).uniform(n) for s in range(seeds)]))

    return uniforms


def errors_over_seeds(samples: Tensor, seeds: int, law: Mixture) -> dict[str, float]:
    """Largest absolute errors of share, mean and covariance, each averaged over the seeds first.

    Averaging before comparing takes the Monte Carlo error down and leaves the sampler's bias.
    """
    populations = samples.view(seeds, -1, samples.shape[1])
    share = torch.stack([law.shares(x) for x in populations]).mean(0)
    covariance = torch.stack([torch.cov(x.mT) for x in populations]).mean(0)
    return {
        "share": (share - law.weights).abs().max().item(),
        "mean": (populations.mean((0, 1)) - law.mean).abs().max().item(),
        "covariance": (covariance - law.covariance).abs().max().item(),
    }


def chain_of_one_gaussian(mean: float, variance: float, sigmas: Tensor) -> tuple[float, float]:
    """Mean and variance of the chain's result on N(mean, variance): every step is linear, so they are exact."""
    levels = sigmas.tolist()
    m, v = 0.0, levels[0] ** 2
    for sigma, after in pairwise(levels):
        shrink, ratio = variance / (variance + sigma**2), (after / sigma) ** 2
        factor = shrink + ratio * (1 - shrink)
        m = factor * m + (1 - ratio) * (1 - shrink) * mean
        v = factor**2 * v + ratio * (sigma**2 - after**2)
    return m, v


def assert_within(errors: dict[str, float], scale: float = 1.0) -> None:
    """Every error within `scale` times its bound; the message holds them all."""
    text = ", ".join(f"{name} {value:.4f} (bound {scale * BOUNDS[name]:g})" for name, value in errors.items())
    assert all(abs(value) <= scale * BOUNDS[name] for name, value in errors.items()), text
