"""Tempered particles: the inverse temperature rises by a schedule, or as far as the weights allow.

The kernel and its weights are those of `papa.smc.fkc` in the exact form. What is chosen here is beta along the
trajectory, from 0 at pure noise to its full value at the data: by the schedule min(1, (1 + gamma)^i - 1) of the step i,
or, step by step and for every population alone, the largest one up to the full value at which the effective sample size
is no smaller than it must be.

Source: Kim et al. 2025, "Test-time Alignment of Diffusion Models without Reward Over-optimization" (arXiv 2501.05803),
section 4 and algorithm 1: the proposal of a step has the beta of the schedule's next step, or, where beta is adaptive
and the next one is not known yet, the present one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from papa.diffusion.denoiser import Denoiser
from papa.diffusion.sampler import Noise
from papa.smc.fkc import Options, Reward, evaluate, exact_step
from papa.smc.population import Particles, Population
from papa.smc.weights import effective_sample_size

HALVINGS = 40
"""Of the interval in which the next inverse temperature lies."""


def scheduled_betas(full: float, steps: int, gamma: float | None = None) -> Tensor:
    """(steps + 1,) float64: full min(1, (1 + gamma)^i - 1). gamma: None reaches `full` at the last step."""
    growth = 2 ** (1 / steps) if gamma is None else 1 + gamma
    rising = torch.clamp(growth ** torch.arange(steps + 1, dtype=torch.float64) - 1, max=1.0)
    rising[-1] = 1.0  # the target of the samples is the full tilt, whatever gamma is
    return full * rising


def largest_beta(log_w: Tensor, reward: Tensor, least: Tensor, full: float, share: float) -> Tensor:
    """The largest beta up to `full` for which the weights log_w + beta u have an effective sample size of share N.

    Args:    log_w, reward: (P, N). least: (P,), which is taken where not even that one will do.
    Returns: (P,) float64.
    """
    target = share * log_w.shape[1]

    def enough(beta: Tensor) -> Tensor:
        return effective_sample_size(log_w + beta[:, None] * reward) >= target

    low, high = least, torch.full_like(least, full)
    whole = enough(high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        good = enough(middle)
        low, high = torch.where(good, middle, low), torch.where(good, high, middle)
    return torch.where(whole, torch.full_like(least, full), low)


def adaptively_tempered(
    denoise: Denoiser,
    reward: Reward,
    sigmas: Tensor,
    full: float,
    noise: Noise,
    uniforms: Callable[[int], Tensor],
    options: Options,
) -> Particles:
    """Draw populations from the base chain tilted by exp(full u), each at the pace that its weights allow.

    Args:    as in `papa.smc.fkc.fkc`; the effective sample size is kept at `options.ess_threshold` N.
    Raises:  ValueError where weights are NaN or all zero.
    """
    levels, last = sigmas.tolist(), len(sigmas) - 2
    populations, n = uniforms(0).shape
    y = levels[0] * noise(0)
    point = evaluate(denoise, reward, y, levels[0], options)
    cloud = Population((populations, n), y.device)
    beta = torch.zeros(populations, dtype=torch.float64, device=y.device)
    for i in range(last + 1):
        present = beta[:, None].expand(populations, n).flatten()
        y, increment = exact_step(point, noise(i + 1), (levels[i], levels[i + 1]), present, options)
        cloud.weigh(increment - present * point.reward.double())
        point = evaluate(denoise, reward, y, levels[i + 1], options)
        u = point.reward.double().view(populations, n)
        beta = (
            torch.full_like(beta, full)
            if i == last
            else largest_beta(cloud.log_w, u, beta, full, options.ess_threshold)
        )
        cloud.weigh((beta[:, None] * u).flatten())
        scheme, below = options.when
        # At the threshold itself, which the search meets from above, there is nothing to gain from going on unweighted.
        moved = cloud.resample(uniforms(i + 1), scheme, below * (1 + 1e-6), always=i == last)
        if moved is not None:
            point = point.take(moved)
        cloud.record(levels[i + 1], beta.mean().item(), point.reward)
    return cloud.particles(point.y)
