"""Feynman-Kac steering: particles of the base chain, resampled by the reward of their clean estimates.

There is no gradient: particles move as the base does. Every few steps the reward u of the clean estimate gives a
potential G, by which they are weighted; u_1, ..., u_m are a particle's rewards at these steps, u_m that of its sample.

    difference   G_j = exp(beta (u_j - u_{j-1})),  u_0 = 0
    max          G_j = exp(beta max(u_1, ..., u_j))
    sum          G_j = exp(beta (u_1 + ... + u_j))

and the last potential is chosen so that their product is exp(beta u_m): the target is the base chain tilted by
exp(beta u) of its samples, for every potential. The released code divides by this product as well, but takes its last
reward from the maximum or sum; here the paper is followed.

Source: Singhal et al. 2025, "A General Framework for Inference-time Scaling and Steering of Diffusion Models" (arXiv
2501.06848), section 3 and algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from papa.diffusion.denoiser import Denoiser
from papa.diffusion.sampler import Noise, ancestral_kernel
from papa.smc import FkcOptions
from papa.smc.fkc import Reward
from papa.smc.population import Particles, Population


@torch.no_grad()
def steer(
    denoise: Denoiser,
    reward: Reward,
    sigmas: Tensor,
    beta: float,
    potential: Literal["difference", "max", "sum"],
    every: int,
    noise: Noise,
    uniforms: Callable[[int], Tensor],
    ess_threshold: float = 1.0,
) -> Particles:
    """Sample populations of particles from the base chain tilted by exp(beta u).

    Args:
        denoise, reward, sigmas, noise, uniforms: as in `papa.smc.fkc.fkc`; the reward is of clean points.
        beta: inverse temperature.
        potential: see the module.
        every: steps from one potential to the next; the last step always has one.
        ess_threshold: resample where the effective sample size is below this share of N.
    """
    options = FkcOptions(ess_threshold=ess_threshold)
    levels, last = sigmas.tolist(), len(sigmas) - 2
    y = levels[0] * noise(0)
    x0 = denoise(y, levels[0])
    cloud = Population(tuple(uniforms(0).shape), y.device)  # pyright: ignore[reportArgumentType]
    found = torch.zeros(len(y), dtype=torch.float64, device=y.device)  # beta times the largest, or the sum, so far
    product = torch.zeros_like(found)  # the log of a particle's potentials so far
    for i in range(last + 1):
        mean, variance = ancestral_kernel(y, x0, levels[i], levels[i + 1])
        y = mean + variance**0.5 * noise(i + 1) if variance > 0 else mean
        x0 = denoise(y, levels[i + 1]) if levels[i + 1] > 0 else y
        if i < last and (i + 1) % every:
            continue
        tilt = beta * reward(x0).double()
        if i == last or potential == "difference":
            increment = tilt - product
        elif potential == "max":
            increment = found = tilt if not cloud.trace.sigma else found.maximum(tilt)
        else:
            increment = found = found + tilt
        product = product + increment
        cloud.weigh(increment)
        moved = cloud.resample(uniforms(i + 1), options, always=i == last)
        if moved is not None:
            y, x0, found, product, tilt = (of[moved] for of in (y, x0, found, product, tilt))
        cloud.record(levels[i + 1], beta, tilt / beta if beta else tilt)
    return cloud.particles(y)
