"""The preference losses of all fine-tuning methods, side by side.

MSE and ||.||^2 are means over the entries of a latent, as in the releases (some papers write the sum). s is a label in
[0, 1], r = 2 s - 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from papa.diffusion.denoiser import Cost
from papa.diffusion.losses import Noised, backward, errors, frozen, noised, predicted
from papa.rng import Stream


@dataclass(frozen=True)
class Pairs:
    """The (item, timestep) pairs of one update and their weights in PAPA's loss.

    Attributes:
        timesteps: (m, K) int64.
        preference, anchor: (m, K) float32 weights of the two terms, signs and means included.
        ceiling: bounded ascent; where the preference weight is negative, the error counts up to `ceiling` times the
            base's. None: unbounded, as published.
    """

    timesteps: Tensor
    preference: Tensor
    anchor: Tensor
    ceiling: float | None = None


@dataclass(frozen=True)
class Networks:
    """The network in training, the frozen pre-trained one (for the ceiling), and the anchor (often the base)."""

    unet: nn.Module
    base: nn.Module
    anchor: nn.Module


def papa_gradient(
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

        L(theta) = mean over labelled items i of
                     c_pref r_i sum over t in TT of lambda_t MSE(eps, eps_theta(x_t^i, t))
                   + c_qpde (1/T) sum over t in TT of MSE(eps_theta(x_t^i, t), eps_anchor(x_t^i, t))

    with sum of lambda_t = 1 over all T timesteps. TT is all timesteps for PAPA; for EPAPA the second sum is the same
    over fewer timesteps, so that the balance at each of them is the same. All variants are this weighted sum over
    pairs (item, timestep) with other weights.

    Args:
        nets, pairs: the networks, and the timesteps with their weights.
        alphas_cumprod, x0, eps, chunk: as in `papa.diffusion.losses.noised`.
        cost: counts forward, backward and frozen evaluations.
        scale: see `papa.diffusion.losses.unscaled`.

    Returns:
        The values of the two terms, without `scale`.
    """
    preference, near = pairs.preference.flatten(), pairs.anchor.flatten()
    totals = [0.0, 0.0]
    for part in noised(x0, pairs.timesteps, eps, alphas_cumprod, chunk):
        parts = _papa_terms(nets, part, preference[part.chosen], near[part.chosen], pairs.ceiling, cost)
        backward(parts[0] + parts[1], scale)
        totals = [total + term.item() for total, term in zip(totals, parts, strict=True)]
    return totals[0], totals[1]


def _papa_terms(
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
"""First beta, last beta and T of the release; linear in between."""


@cache
def released_sum() -> float:
    """The sum of the release's lambda_t, 20.3; its coefficients belong to weights of this sum."""
    abar = torch.cumprod(1 - torch.linspace(*RELEASED_BETAS, dtype=torch.float64), 0)
    return float(_lambda(abar, "published").sum())


def lambda_weights(alphas_cumprod: Tensor, first: str = "clipped") -> Tensor:
    """The weights lambda_t of PAPA's loss, normalized to sum 1 over all T timesteps.

        lambda_t = (1 - alpha_t) / (alpha_t (1 - abar_{t-1})),      t = 1..T, abar_0 = 1

    Source: PAPA (arXiv 2607.00486), proof of Theorem 4.1, equation (1).

    Args:
        alphas_cumprod: (T,).
        first: lambda_1, which diverges in the formula. "clipped": the posterior variance of t = 1 is replaced by that
            of t = 2, as improved DDPM does (Nichol & Dhariwal 2021): lambda_1 = beta_1 / (alpha_1 btilde_2), close to
            2. "published": abar_{-1} wraps around to abar_T, as in the release, so lambda_1 is about beta_1.

    Returns:
        (T,) float64, index t - 1.
    """
    weights = _lambda(alphas_cumprod.double(), first)
    return weights / weights.sum()


def _lambda(abar: Tensor, first: str) -> Tensor:
    """lambda_t without normalization."""
    before = torch.cat([torch.ones(1, dtype=torch.float64), abar[:-1]])
    alpha = abar / before
    beta = 1 - alpha
    weights = torch.empty_like(abar)
    weights[1:] = beta[1:] / (alpha[1:] * (1 - before[1:]))
    if first == "clipped":
        posterior_variance_2 = beta[1] * (1 - abar[0]) / (1 - abar[1])
        weights[0] = beta[0] / (alpha[0] * posterior_variance_2)
    else:
        weights[0] = beta[0] / (alpha[0] * (1 - abar[-1]))
    return weights


def preference_margin(model: Tensor, reference: Tensor) -> Tensor:
    """m_rejected - m_preferred of each pair: positive where the model has learned the preference.

    Args:
        model, reference: (2, n) denoising errors of the preferred items (row 0) and the rejected ones (row 1).

    Returns:
        (n,), in units of the squared error.
    """
    gain = model - reference
    return gain[1] - gain[0]


def dpo_loss(model: Tensor, reference: Tensor, beta: float) -> Tensor:
    """Diffusion-DPO's loss of each pair, nats; log 2 where the model is the reference.

        m = ||eps - eps_theta(x_t, t)||^2 - ||eps - eps_ref(x_t, t)||^2       for each item of a pair
        L = -log sigma( -beta T omega(lambda_t) (m_preferred - m_rejected) )

    Both items of a pair have the same timestep and the same noise. omega is constant, as in the paper's experiments.
    The mean over pairs is outside of the log-sigmoid. PPD conditions eps_theta on a user, and eps_ref on none.

    Source: Wallace et al. 2023, "Diffusion Model Alignment Using Direct Preference Optimization" (arXiv 2311.12908),
    equation 14; "Personalized Preference Fine-tuning of Diffusion Models" (arXiv 2501.06655).

    Args:
        model, reference: as in `preference_margin`.
        beta: beta T omega of the mean over entries, > 0.
    """
    return nn.functional.softplus(-beta * preference_margin(model, reference))


def matched(preference: np.ndarray, stream: Stream) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a liked item (s > 1/2) and a disliked one, one for each item of the larger class.

    Each item of the larger class is in one pair; the items of the other class are repeated evenly, in random order.
    Returns (pairs,) indices of the liked and of the disliked items, empty where a class is empty.
    """
    classes = np.flatnonzero(preference > 0.5), np.flatnonzero(preference <= 0.5)
    if not all(map(len, classes)):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    pairs, rng = max(map(len, classes)), stream.generator()
    liked, disliked = (
        np.concatenate([rng.permutation(of) for _ in range(-(-pairs // len(of)))])[:pairs] for of in classes
    )
    return liked, disliked


def d3po_loss(log_ratios: Tensor, beta: float, clip: float) -> Tensor:
    """D3PO's loss of each pair and step, nats.

        rho_i = clip(p_theta(y' | y) / p_base(y' | y), 1 - c, 1 + c)
        L = -log sigma( beta (log rho_preferred - log rho_rejected) )

    Source: Yang et al. 2023 (arXiv 2311.13231), equation 13 with h = +1, -1; the clipping is that of the release.
    log_ratios: (2, n), preferred and rejected.
    """
    preferred, rejected = log_ratios.clamp(math.log(1 - clip), math.log(1 + clip))  # clipped before exp can overflow
    return nn.functional.softplus(-beta * (preferred - rejected))


def kto_loss(gain: Tensor, point: float, preference: Tensor) -> Tensor:
    """Diffusion-KTO's loss, in [0, 1]: s (1 - sigma(g - z)) + (1 - s) (1 - sigma(z - g)).

    Source: Li et al. 2024, "Aligning Diffusion Models by Optimizing Human Utility" (arXiv 2404.04465), equation 8, with
    its sigmoid utility. s is 0 or 1 there; a grade in between weights both sides.

    Args:
        gain: (n,) g = beta T omega (||eps - eps_ref||^2 - ||eps - eps_theta||^2).
        point: the reference point z.
        preference: (n,) s.
    """
    kept = torch.sigmoid(gain - point)
    return preference * (1 - kept) + (1 - preference) * kept


def nft_loss(predicted: Tensor, old: Tensor, noise: Tensor, preference: Tensor, beta: float) -> Tensor:
    """DiffusionNFT's loss: s MSE(eps, eps+) + (1 - s) MSE(eps, eps-).

        eps+ = (1 - b) eps_old + b eps_theta,      eps- = (1 + b) eps_old - b eps_theta

    Source: Zheng et al. 2025 (arXiv 2509.16117), equations 5 and 6, there for the velocity with a weight of each
    timestep; here for the noise, all timesteps equal.

    Args:
        predicted, old, noise: (n, ...) of the trained network, of the older one, and the truth.
        preference: (n,) s.
        beta: b.
    """
    positive = (1 - beta) * old + beta * predicted
    negative = (1 + beta) * old - beta * predicted
    return preference * errors(positive, noise) + (1 - preference) * errors(negative, noise)


def ppo_loss(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """PPO's clipped loss (Schulman et al. 2017, equation 7), (n,). ratio, advantage: (n,)."""
    return (-advantage * ratio).maximum(-advantage * ratio.clamp(1 - clip, 1 + clip))
