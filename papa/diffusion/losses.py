"""The denoising loss of (item, timestep) pairs, in chunks, with its cost counted.

    x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps,      error = MSE(eps, eps_theta(x_t, t))

Fine-tuning methods weight these errors; the sum over chunks needs the memory of one chunk and does not depend on the
chunk size. MSE is the mean over the entries of a latent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from papa.diffusion.denoiser import Cost
from papa.errors import DivergedError


@dataclass(frozen=True)
class Noised:
    """A chunk of pairs. x_t, noise: (c, ...). t: (c,) int64. chosen: its slice of the flattened pairs."""

    x_t: Tensor
    t: Tensor
    noise: Tensor
    chosen: slice


def noised(
    x0: Tensor, timesteps: Tensor, eps: Callable[[int], Tensor], alphas_cumprod: Tensor, chunk: int
) -> Iterator[Noised]:
    """All pairs of an update, noised, in chunks.

    Args:
        x0: (m, ...) clean latents.
        timesteps: (m, K) int64.
        eps: item -> (K, ...) noise of its pairs, keyed by the item.
        alphas_cumprod: (T,).
        chunk: pairs per forward pass.
    """
    m, strata = timesteps.shape
    t_all = timesteps.flatten()
    for begin in range(0, m * strata, chunk):
        end = min(begin + chunk, m * strata)
        items = range(begin // strata, (end - 1) // strata + 1)
        noise = torch.cat([eps(i) for i in items])[begin - items[0] * strata :][: end - begin].to(x0)
        t = t_all[begin:end].to(x0.device)
        clean = x0[torch.arange(begin, end, device=x0.device) // strata]
        abar = alphas_cumprod.to(x0)[t].view(-1, *[1] * (x0.ndim - 1))
        yield Noised(abar.sqrt() * clean + (1 - abar).sqrt() * noise, t, noise, slice(begin, end))


def predicted(net: nn.Module, part: Noised, cost: Cost) -> Tensor:
    """The noise that a network in training predicts, (c, ...); a forward and a backward evaluation each."""
    cost.forward += len(part.t)
    cost.backward += len(part.t)
    return net(part.x_t, part.t).sample


@torch.no_grad()
def frozen(net: nn.Module, part: Noised, needed: Tensor, cost: Cost) -> Tensor:
    """The noise that a frozen network predicts if any of it is `needed` (c,), else zeros.

    The whole chunk goes through it even if a part would do: in a batch of another size the last bits
    differ, and Adam makes steps of full length out of a gradient that should be exactly zero.
    """
    if not needed.any():
        return torch.zeros_like(part.x_t)
    cost.frozen += len(part.t)
    return net(part.x_t, part.t).sample


def errors(prediction: Tensor, target: Tensor) -> Tensor:
    """(c,) mean squared error of each pair."""
    return (prediction - target).square().flatten(1).mean(1)


def backward(loss: Tensor, scale: float = 1.0) -> None:
    """Add the gradient of a chunk's part of the loss, times `scale`.

    Raises:
        DivergedError: where the loss is NaN or infinite.
    """
    if not torch.isfinite(loss):
        raise DivergedError("the loss is NaN or infinite; lower lr, or bound what pushes away from disliked items")
    (scale * loss).backward()


def denoising_gradient(
    net: nn.Module,
    x0: Tensor,
    timesteps: Tensor,
    weights: Tensor,
    eps: Callable[[int], Tensor],
    alphas_cumprod: Tensor,
    chunk: int,
    cost: Cost,
    scale: float = 1.0,
) -> float:
    """Add the gradient of the weighted sum of denoising errors, times `scale`, to `net.parameters()`.

    Args:
        weights: (m, K) of the pairs, signs and means included.
        x0, timesteps, eps, alphas_cumprod, chunk: as in `noised`.

    Returns:
        The sum, without `scale`.
    """
    total, flat = 0.0, weights.flatten()
    for part in noised(x0, timesteps, eps, alphas_cumprod, chunk):
        loss = (flat[part.chosen].to(part.x_t) * errors(predicted(net, part, cost), part.noise)).sum()
        backward(loss, scale)
        total += loss.item()
    return total


def stratified_timesteps(uniforms: np.ndarray, first: int, total: int) -> Tensor:
    """(m, K) int64: one timestep in each of K equal strata of {first, ..., total - 1}; uniforms: (m, K) in [0, 1).

    (total - first) / K times the sum of f over a row is an unbiased estimate of the sum of f over all timesteps,
    whether or not K divides their number.
    """
    count, strata = total - first, uniforms.shape[1]
    position = (np.arange(strata) + uniforms) * (count / strata)
    return torch.from_numpy(first + np.minimum(position.astype(np.int64), count - 1))


def unscaled(parameters: Iterable[nn.Parameter], scale: float) -> bool:
    """Divide the gradients by the loss scale; returns whether all of them are finite.

    In half precision gradients of activations can underflow, so the loss is multiplied by a power of two first. The
    division of float32 gradients by it is exact.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    for gradient in gradients:
        gradient.div_(scale)
    return all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
