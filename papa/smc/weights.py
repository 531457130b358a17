"""Log-weights. Populations are rows: (..., N) float64, unnormalized, in nats."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def checked(log_w: Tensor) -> Tensor:
    """`log_w` as float64.

    Raises:
        ValueError: on NaN or +infinity, or where every weight of a population is zero.
    """
    log_w = log_w.double()
    if torch.isnan(log_w).any() or (log_w == torch.inf).any():
        raise ValueError("log-weights hold NaN or +infinity: the reward or the model returned no number")
    if (log_w == -torch.inf).all(-1).any():
        raise ValueError("every weight of a population is zero: the reward excludes all of its particles")
    return log_w


def normalized(log_w: Tensor) -> Tensor:
    """Weights W = w / sum w over the last axis, (..., N)."""
    return checked(log_w).softmax(-1)


def log_mean_exp(log_w: Tensor) -> Tensor:
    """log((1/N) sum w), the increment of log Z of a population: (...,)."""
    log_w = checked(log_w)
    return log_w.logsumexp(-1) - math.log(log_w.shape[-1])


def effective_sample_size(log_w: Tensor) -> Tensor:
    """ESS = 1 / sum W^2 in [1, N] (Kong, Liu & Wong 1994): (...,)."""
    return 1 / normalized(log_w).square().sum(-1)
