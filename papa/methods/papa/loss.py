"""PAPA's loss, as gradients accumulated over chunks.

    L(theta) = mean over labelled items i of
                 c_pref r_i sum over t in TT of lambda_t MSE(eps, eps_theta(x_t^i, t))
               + c_qpde (1/T) sum over t in TT of MSE(eps_theta(x_t^i, t), eps_anchor(x_t^i, t))

with sum of lambda_t = 1 over all T timesteps. For PAPA (TT = all) the second sum is the paper's mean; for
EPAPA it stays the same sum over fewer timesteps, so that the balance at each of them is the same.

Every variant of it (exact or stratified, EPAPA, the release's second term) is the same weighted sum
over pairs (item, timestep), with other weights. A chunk adds its part of the sum, so neither memory
nor the result depends on how the pairs are split. MSE is the mean over pixels, as in the release
(the paper's formula has the squared norm).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from papa.diffusion.denoiser import Cost, DiffusionDivergedError


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


def stratified_timesteps(uniforms: np.ndarray, first: int, total: int) -> Tensor:
    """One timestep in each of K equal strata of {first, ..., total - 1}.

    Args:    uniforms: (m, K) in [0, 1).
    Returns: (m, K) int64. (total - first) / K times the sum of f over a row has the exact sum of f
             over all timesteps as its mean, whether or not K divides their number.
    """
    count, strata = total - first, uniforms.shape[1]
    position = (np.arange(strata) + uniforms) * (count / strata)
    return torch.from_numpy(first + np.minimum(position.astype(np.int64), count - 1))


def accumulate_gradients(
    unet: nn.Module,
    base: nn.Module,
    anchor: nn.Module,
    alphas_cumprod: Tensor,
    x0: Tensor,
    eps: Callable[[int], Tensor],
    pairs: Pairs,
    chunk: int,
    cost: Cost,
    scale: float = 1.0,
) -> tuple[float, float]:
    """Add the gradient of PAPA's loss, times `scale`, to `unet.parameters()`.

    Args:    base: frozen pre-trained network (bounded ascent compares with it). anchor: what the
             second term stays near; often the base itself. alphas_cumprod: (T,). x0: (m, ...) clean
             latents. eps: item -> (K, ...) noise of its pairs, keyed by the item. chunk: pairs per
             forward pass. cost: counts forward, backward and frozen evaluations. scale: see `unscaled`.
    Returns: the two terms' values, without `scale`.
    Raises:  DiffusionDivergedError where the loss is NaN or infinite.
    """
    m, strata = pairs.timesteps.shape
    t_all, w_all, a_all = pairs.timesteps.flatten(), pairs.preference.flatten(), pairs.anchor.flatten()
    totals = [0.0, 0.0]
    for begin in range(0, m * strata, chunk):
        end = min(begin + chunk, m * strata)
        items = range(begin // strata, (end - 1) // strata + 1)
        noise = torch.cat([eps(i) for i in items])[begin - items[0] * strata :][: end - begin].to(x0)
        t = t_all[begin:end].to(x0.device)
        clean = x0[torch.arange(begin, end, device=x0.device) // strata]
        abar = alphas_cumprod.to(x0)[t].view(-1, *[1] * (x0.ndim - 1))
        x_t = abar.sqrt() * clean + (1 - abar).sqrt() * noise
        parts = _two_terms(unet, base, anchor, x_t, t, noise, w_all[begin:end], a_all[begin:end], pairs.ceiling, cost)
        loss = parts[0] + parts[1]
        if not torch.isfinite(loss):
            raise DiffusionDivergedError("the loss is NaN or infinite; lower lr, or set negatives: bounded")
        if loss.requires_grad:
            (scale * loss).backward()
        totals = [total + part.item() for total, part in zip(totals, parts, strict=True)]
    return totals[0], totals[1]


def unscaled(parameters: Iterable[nn.Parameter], scale: float) -> bool:
    """Divide the gradients by the factor that the loss had; returns whether all of them are finite.

    In half precision the gradients of activations are smaller than the smallest number, so the loss is
    multiplied by a power of two first. Dividing float32 gradients by it is exact.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    for gradient in gradients:
        gradient.div_(scale)
    return all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def _two_terms(
    unet: nn.Module,
    base: nn.Module,
    anchor: nn.Module,
    x_t: Tensor,
    t: Tensor,
    noise: Tensor,
    preference: Tensor,
    near: Tensor,
    ceiling: float | None,
    cost: Cost,
) -> tuple[Tensor, Tensor]:
    """The weighted sums of both terms over one chunk of pairs."""
    preference, near = preference.to(x_t), near.to(x_t)
    predicted = unet(x_t, t).sample
    cost.forward += len(t)
    cost.backward += len(t)
    error = (predicted - noise).square().flatten(1).mean(1)

    bounded = (preference < 0) if ceiling is not None else torch.zeros_like(preference, dtype=torch.bool)
    from_base = bounded | (near != 0) if anchor is base else bounded
    reference = _frozen(base, x_t, t, from_base, cost)
    if bounded.any():
        limit = (ceiling or 0.0) * (reference - noise).square().flatten(1).mean(1)
        error = torch.where(bounded, error.minimum(limit), error)
    if anchor is not base:
        reference = _frozen(anchor, x_t, t, near != 0, cost)
    distance = torch.where(near != 0, (predicted - reference).square().flatten(1).mean(1), 0.0)
    return (preference * error).sum(), (near * distance).sum()


@torch.no_grad()
def _frozen(net: nn.Module, x_t: Tensor, t: Tensor, needed: Tensor, cost: Cost) -> Tensor:
    """Predictions of a frozen network if any are needed, else zeros.

    The whole chunk goes through it even if a part would do: in a batch of another size the last bits
    differ, and Adam makes steps of full length out of a gradient that should be exactly zero.
    """
    if not needed.any():
        return torch.zeros_like(x_t)
    cost.frozen += len(t)
    return net(x_t, t).sample
