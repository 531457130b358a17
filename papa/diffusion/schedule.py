"""Noise schedules in both views of one process.

VP (DDPM): x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps,  `alphas_cumprod` = abar, index 0..T-1.
VE:        y   = x_t / sqrt(abar_t) = x_0 + sigma eps,      sigma = sqrt((1 - abar) / abar).

Samplers and SMC are written in the VE view, training losses in the VP view.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def sigmas_of(alphas_cumprod: Tensor) -> Tensor:
    """VE noise levels sqrt((1 - abar) / abar), shape and dtype of `alphas_cumprod`."""
    return ((1 - alphas_cumprod) / alphas_cumprod).sqrt()


def log_spaced_sigmas(largest: float, smallest: float, n_steps: int) -> Tensor:
    """`n_steps` log-spaced noise levels from `largest` to `smallest`, then 0: (n_steps + 1,) float64."""
    levels = torch.logspace(np.log10(largest), np.log10(smallest), n_steps, dtype=torch.float64)
    return torch.cat([levels, torch.zeros(1, dtype=torch.float64)])
