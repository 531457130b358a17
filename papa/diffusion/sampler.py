"""The base sampler: Euler-ancestral steps in the VE view."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from papa.diffusion.denoiser import Denoiser
from papa.rng import Stream

Noise = Callable[[int], Tensor]
"""Step index -> (n, ...) standard normal noise. Index 0 is the initial noise, i + 1 that of step i."""


def stream_noise(
    stream: Stream, shape: tuple[int, ...], dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> Noise:
    """Noise from a named stream, keyed by step and by row (the slot of a particle)."""
    numpy_dtype = np.float64 if dtype == torch.float64 else np.float32

    def noise(step: int) -> Tensor:
        return torch.from_numpy(stream.at(step=step).normal(*shape, dtype=numpy_dtype)).to(device)

    return noise


def ancestral_kernel(y: Tensor, x0: Tensor, sigma: float, sigma_next: float) -> tuple[Tensor, float]:
    """Mean and variance of the Euler-ancestral transition p(y' | y) from `sigma` to `sigma_next`.

        N( x0 + (sigma'^2 / sigma^2) (y - x0),  sigma'^2 (sigma^2 - sigma'^2) / sigma^2 I )

    This is DDPM's posterior q(x_{t-1} | x_t, x0) in the VE view (Ho et al. 2020, equation 7), and
    EulerAncestralDiscreteScheduler's step. At sigma' = 0 it is deterministic: (x0, 0).
    """
    ratio = (sigma_next / sigma) ** 2
    variance = sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2
    return x0 + ratio * (y - x0), variance


@torch.no_grad()
def euler_ancestral(
    denoise: Denoiser,
    sigmas: Tensor,
    noise: Noise,
    on_step: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """(n, ...) clean samples of the base chain.

    Args:
        denoise: the model.
        sigmas: (n_steps + 1,) decreasing noise levels, the last one 0.
        noise: step -> (n, ...) standard normal.
        on_step: called with (step, state) after every step.
    """
    levels = sigmas.tolist()
    y = levels[0] * noise(0)
    for step, (sigma, sigma_next) in enumerate(pairwise(levels)):
        mean, variance = ancestral_kernel(y, denoise(y, sigma), sigma, sigma_next)
        y = mean + variance**0.5 * noise(step + 1) if variance > 0 else mean
        if on_step:
            on_step(step, y)
    return y
