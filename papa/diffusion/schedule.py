"""Noise schedules in both views of one process.

VP (DDPM): x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps,  `alphas_cumprod` = abar, index 0..T-1.
VE:        y   = x_t / sqrt(abar_t) = x_0 + sigma eps,      sigma = sqrt((1 - abar) / abar).

Samplers and SMC are written in the VE view, training losses in the VP view.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from diffusers import EulerAncestralDiscreteScheduler
from torch import Tensor


def sigmas_of(alphas_cumprod: Tensor) -> Tensor:
    """VE noise levels sqrt((1 - abar) / abar), shape and dtype of `alphas_cumprod`."""
    return ((1 - alphas_cumprod) / alphas_cumprod).sqrt()


def sampling_sigmas(scheduler_config: dict, n_steps: int) -> Tensor:
    """Noise levels of `n_steps` sampling steps, by diffusers' EulerAncestralDiscreteScheduler.

    Args:    scheduler_config: configuration of the scheduler that the model was trained with.
             n_steps: number of denoising steps, 1 or more.
    Returns: (n_steps + 1,) float64, falling, the last one 0.
    """
    scheduler = cast(EulerAncestralDiscreteScheduler, EulerAncestralDiscreteScheduler.from_config(scheduler_config))
    scheduler.set_timesteps(n_steps)
    return scheduler.sigmas.double()


def log_spaced_sigmas(largest: float, smallest: float, n_steps: int) -> Tensor:
    """`n_steps` log-spaced noise levels from `largest` to `smallest`, then 0: (n_steps + 1,) float64."""
    levels = torch.logspace(np.log10(largest), np.log10(smallest), n_steps, dtype=torch.float64)
    return torch.cat([levels, torch.zeros(1, dtype=torch.float64)])


def lambda_weights(alphas_cumprod: Tensor, first: str = "clipped") -> Tensor:
    """The weights lambda_t of PAPA's loss, normalized to sum 1 over all T timesteps.

        lambda_t = (1 - alpha_t) / (alpha_t (1 - abar_{t-1})),      t = 1..T, abar_0 = 1

    Source: PAPA (arXiv 2607.00486), proof of Theorem 4.1, equation (1).
    The formula diverges at t = 1. `first` says what stands there:
      "clipped":   the posterior variance of t = 1 is replaced by that of t = 2, as improved DDPM does
                   (Nichol & Dhariwal 2021): lambda_1 = beta_1 / (alpha_1 btilde_2), close to 2.
      "published": abar_{-1} wraps around to abar_T, as in the release, so lambda_1 is about beta_1.

    Returns: (T,) float64, index t - 1.
    Raises:  ValueError for another `first`.
    """
    abar = alphas_cumprod.double()
    before = torch.cat([torch.ones(1, dtype=torch.float64), abar[:-1]])
    alpha = abar / before
    beta = 1 - alpha
    weights = torch.empty_like(abar)
    weights[1:] = beta[1:] / (alpha[1:] * (1 - before[1:]))
    if first == "clipped":
        posterior_variance_2 = beta[1] * (1 - abar[0]) / (1 - abar[1])
        weights[0] = beta[0] / (alpha[0] * posterior_variance_2)
    elif first == "published":
        weights[0] = beta[0] / (alpha[0] * (1 - abar[-1]))
    else:
        raise ValueError(f"first is {first!r}; it must be 'clipped' or 'published'")
    return weights / weights.sum()
