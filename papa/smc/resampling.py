"""Resampling: from weighted particles to equally weighted ones.

Each scheme samples n ancestors with expected offspring n W_i by inverting the cumulative weights at n sorted points;
they differ in the points.
"""

from __future__ import annotations

import torch
from torch import Tensor

from papa.smc.weights import normalized


def systematic_points(uniforms: Tensor) -> Tensor:
    """(i + U) / n with one U for all: uniforms (..., n) float64 in [0, 1), of which the first is used."""
    n = uniforms.shape[-1]
    return (torch.arange(n, dtype=torch.float64, device=uniforms.device) + uniforms[..., :1]) / n


def stratified_points(uniforms: Tensor) -> Tensor:
    """(i + U_i) / n with one U in each stratum: uniforms (..., n) float64 in [0, 1)."""
    n = uniforms.shape[-1]
    return (torch.arange(n, dtype=torch.float64, device=uniforms.device) + uniforms) / n


SCHEMES = {"systematic": systematic_points, "stratified": stratified_points}


def resample(log_w: Tensor, uniforms: Tensor, scheme: str = "systematic") -> Tensor:
    """Sample ancestors (Douc, Cappe & Moulines 2005, sections 2.3 (stratified) and 2.4 (systematic)).

    Args:
        log_w: (..., N) unnormalized log-weights, nats.
        uniforms: (..., n) in [0, 1).
        scheme: a name in `SCHEMES`.

    Returns:
        (..., n) int64 ancestors in [0, N), sorted, expected offspring n W; zero-weight particles never appear.

    Raises:
        ValueError: on NaN or if every weight is zero.
    """
    cumulative = normalized(log_w).cumsum(-1)
    # Dividing makes the end exactly 1, and points below 1 then always fall inside: on the last
    # particle with a positive weight, never on one of zero weight behind it.
    cumulative = cumulative / cumulative[..., -1:]
    below_one = 1 - torch.finfo(torch.float64).eps
    points = SCHEMES[scheme](uniforms.double()).clamp(max=below_one)
    return torch.searchsorted(cumulative, points.contiguous(), right=True)
