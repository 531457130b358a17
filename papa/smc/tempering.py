"""Tempered particles: the inverse temperature rises by a schedule, or as fast as the weights allow.

The kernel and its weights are those of `papa.smc.fkc` in the exact form. Here beta rises from 0 at pure noise to its
full value at the data: by the schedule min(1, (1 + gamma)^i - 1) of step i, with the gamma that reaches 1 at the last
step, or adaptively, for each population the largest beta (up to the full value) whose effective sample size is above
the threshold.

Source: Kim et al. 2025, "Test-time Alignment of Diffusion Models without Reward Over-optimization" (arXiv 2501.05803),
section 4 and algorithm 1: the proposal of a step has the beta of the schedule's next step, or, where beta is adaptive
and the next one is unknown yet, the present one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from papa.diffusion.denoiser import Denoiser
from papa.diffusion.sampler import Noise
from papa.smc import FkcOptions
from papa.smc.fkc import Reward, evaluate, exact_step
from papa.smc.population import Particles, Population
from papa.smc.weights import effective_sample_size

HALVINGS = 40
"""Bisection steps of `largest_beta`."""


def scheduled_betas(full: float, steps: int) -> Tensor:
    """(steps + 1,) float64: full ((1 + gamma)^i - 1), which reaches `full` at the last step."""
    growth = 2 ** (1 / steps)
    rising = torch.clamp(growth ** torch.arange(steps + 1, dtype=torch.float64) - 1, max=1.0)
    rising[-1] = 1.0  # exactly, whatever the rounding
    return full * rising


def largest_beta(log_w: Tensor, reward: Tensor, lower: Tensor, full: float, share: float) -> Tensor:
    """(P,) largest beta up to `full` for which the weights log_w + beta u have an effective sample size of share N.

    Args:
        log_w, reward: (P, N).
        lower: (P,) result where even it has a smaller one.
    """
    target = share * log_w.shape[1]

    def enough(beta: Tensor) -> Tensor:
        return effective_sample_size(log_w + beta[:, None] * reward) >= target

    low, high = lower, torch.full_like(lower, full)
    whole = enough(high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        good = enough(middle)
        low, high = torch.where(good, middle, low), torch.where(good, high, middle)
    return torch.where(whole, torch.full_like(lower, full), low)


def adaptively_tempered(
    denoise: Denoiser,
    reward: Reward,
    sigmas: Tensor,
    full: float,
    noise: Noise,
    uniforms: Callable[[int], Tensor],
    options: FkcOptions,
    spread: float = 1.0,
) -> Particles:
    """Sample populations from the base chain tilted by exp(full u), each tempered as fast as its weights allow.

    Args:
        full: inverse temperature at the data.
        denoise, reward, sigmas, noise, uniforms, spread: as in `papa.smc.fkc.fkc`.
        options: the effective sample size is kept at `ess_threshold` N.
    """
    levels, last = sigmas.tolist(), len(sigmas) - 2
    populations, n = uniforms(0).shape
    y = levels[0] * noise(0)
    point = evaluate(denoise, reward, y, levels[0], options)
    cloud = Population((populations, n), y.device)
    beta = torch.zeros(populations, dtype=torch.float64, device=y.device)
    for i in range(last + 1):
        present = beta[:, None].expand(populations, n).flatten()
        scale = options.scale(levels[i], spread)
        y, increment = exact_step(point, noise(i + 1), (levels[i], levels[i + 1]), present, scale)
        cloud.weigh(increment - present * point.reward.double())
        point = evaluate(denoise, reward, y, levels[i + 1], options)
        u = point.reward.double().view(populations, n)
        beta = (
            torch.full_like(beta, full)
            if i == last
            else largest_beta(cloud.log_w, u, beta, full, options.ess_threshold)
        )
        cloud.weigh((beta[:, None] * u).flatten())
        # The bisection ends at the threshold, from above, so that every tempered step resamples.
        moved = cloud.resample(uniforms(i + 1), options, always=i == last, slack=1 + 1e-6)
        if moved is not None:
            point = point.take(moved)
        cloud.record(levels[i + 1], beta.mean().item(), point.reward)
    return cloud.particles(point.y)
