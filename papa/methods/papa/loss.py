"""PAPA's loss, as gradients accumulated over chunks.

    L(theta) = mean over labelled items i of
                 c_pref r_i sum over t in TT of lambda_t MSE(eps, eps_theta(x_t^i, t))
               + c_qpde (1/T) sum over t in TT of MSE(eps_theta(x_t^i, t), eps_anchor(x_t^i, t))

with sum of lambda_t = 1 over all T timesteps. For PAPA (TT = all) the second sum is the paper's mean; for
EPAPA it stays the same sum over fewer timesteps, so that the balance at each of them is the same.

Every variant of it (exact or stratified, EPAPA, the release's second term) is the same weighted sum
over pairs (item, timestep), with other weights. MSE is the mean over pixels, as in the release (the paper's
formula has the squared norm).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from papa.diffusion.denoiser import Cost
from papa.diffusion.losses import Noised, backward, errors, frozen, noised, predicted


@dataclass(frozen=True)
class Pairs:
    """The (item, timestep) pairs of one update and their weights.

    timesteps: (m, K) int64. preference, anchor: (m, K) float32 weights of the two terms, signs and
    means included. ceiling: bounded ascent; where the preference weight is negative, the error counts
    up to `ceiling` times the base's (None: unbounded, as published).
    """

    timesteps: Tensor
    preference: Tensor
    anchor: Tensor
    ceiling: float | None = None


@dataclass(frozen=True)
class Networks:
    """unet: in training. base: frozen pre-trained network (bounded ascent compares with it). anchor: what the second
    term stays near; often the base itself."""

    unet: nn.Module
    base: nn.Module
    anchor: nn.Module


def accumulate_gradients(
    nets: Networks,
    alphas_cumprod: Tensor,
    x0: Tensor,
    eps: Callable[[int], Tensor],
    pairs: Pairs,
    chunk: int,
    cost: Cost,
    scale: float = 1.0,
) -> tuple[float, float]:
    """Add the gradient of PAPA's loss, times `scale`, to `nets.unet.parameters()`.

    Args:    alphas_cumprod: (T,). x0: (m, ...) clean latents. eps: item -> (K, ...) noise of its pairs, keyed by the
             item. chunk: pairs per forward pass. cost: counts forward, backward and frozen evaluations. scale: see
             `papa.diffusion.losses.unscaled`.
    Returns: the two terms' values, without `scale`.
    Raises:  DivergedError where the loss is NaN or infinite.
    """
    preference, near = pairs.preference.flatten(), pairs.anchor.flatten()
    totals = [0.0, 0.0]
    for part in noised(x0, pairs.timesteps, eps, alphas_cumprod, chunk):
        parts = _two_terms(nets, part, preference[part.chosen], near[part.chosen], pairs.ceiling, cost)
        backward(parts[0] + parts[1], scale)
        totals = [total + term.item() for total, term in zip(totals, parts, strict=True)]
    return totals[0], totals[1]


def _two_terms(
    nets: Networks, part: Noised, preference: Tensor, near: Tensor, ceiling: float | None, cost: Cost
) -> tuple[Tensor, Tensor]:
    """The weighted sums of both terms over one chunk of pairs."""
    preference, near = preference.to(part.x_t), near.to(part.x_t)
    prediction = predicted(nets.unet, part, cost)
    error = errors(prediction, part.noise)

    bounded = (preference < 0) if ceiling is not None else torch.zeros_like(preference, dtype=torch.bool)
    from_base = bounded | (near != 0) if nets.anchor is nets.base else bounded
    reference = frozen(nets.base, part, from_base, cost)
    if bounded.any():
        limit = (ceiling or 0.0) * errors(reference, part.noise)
        error = torch.where(bounded, error.minimum(limit), error)
    if nets.anchor is not nets.base:
        reference = frozen(nets.anchor, part, near != 0, cost)
    distance = torch.where(near != 0, errors(prediction, reference), 0.0)
    return (preference * error).sum(), (near * distance).sum()


RELEASED_BETAS = (1e-4, 0.02, 1000)
"""First and last beta, and T, of the release; the betas between are in equal steps."""


@cache
def released_sum() -> float:
    """The sum of the release's lambda_t, 20.3: its coefficients belong to weights of this sum."""
    abar = torch.cumprod(1 - torch.linspace(*RELEASED_BETAS, dtype=torch.float64), 0)
    return float(_lambda(abar, "published").sum())


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
    weights = _lambda(alphas_cumprod.double(), first)
    return weights / weights.sum()


def _lambda(abar: Tensor, first: str) -> Tensor:
    """lambda_t as they are."""
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
    return weights
