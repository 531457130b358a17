"""Denoisers: the form in which samplers use a model.

A denoiser maps (y, sigma) to the estimate x0 of the clean data (Tweedie), in the VE view:

    score = (x0 - y) / sigma^2 = -eps / sigma
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from papa.diffusion.schedule import sigmas_of
from papa.errors import DivergedError

Denoiser = Callable[[Tensor, float], Tensor]
"""(n, ...) noisy states y and their noise level sigma > 0 -> (n, ...) clean estimates."""


@dataclass
class Cost:
    """Denoiser evaluations, one per item and noise level: of the sampled or trained model, gradients through it, and
    evaluations of the frozen base that a loss compares with."""

    forward: int = 0
    backward: int = 0
    frozen: int = 0


@dataclass
class UNetDenoiser:
    """A diffusers UNet that predicts eps, used as a denoiser.

    Args:
        unet: module with `unet(x_t, t).sample`.
        alphas_cumprod: (T,) of its training schedule.
        clip: range of x0 in pixel space, or None.
        chunk: items per forward pass; it changes the last bits of the result, so it is a recorded setting.
        cost: counts the evaluations.
        evaluations: of the network per item (2 with classifier-free guidance).
    """

    unet: nn.Module
    alphas_cumprod: Tensor
    clip: tuple[float, float] | None = None
    chunk: int = 256
    cost: Cost = field(default_factory=Cost)
    evaluations: int = 1

    def __post_init__(self) -> None:
        self._sigmas = sigmas_of(self.alphas_cumprod.double()).numpy()

    def timestep(self, sigma: float) -> float:
        """The (fractional) training timestep whose noise level is `sigma`; diffusers' interpolation."""
        return float(np.interp(sigma, self._sigmas, np.arange(len(self._sigmas))))

    def eps(self, y: Tensor, sigma: float) -> Tensor:
        """The predicted noise at (n, C, H, W) states `y`."""
        t = torch.tensor(self.timestep(sigma), dtype=torch.float32, device=y.device)
        x_t = y / (1 + sigma**2) ** 0.5
        self.cost.forward += self.evaluations * len(y)
        if y.requires_grad:
            self.cost.backward += self.evaluations * len(y)
        parts = [self.unet(part, t.expand(len(part))).sample for part in x_t.split(self.chunk)]
        return torch.cat(parts)

    def __call__(self, y: Tensor, sigma: float) -> Tensor:
        x0 = y - sigma * self.eps(y, sigma)
        if not torch.isfinite(x0).all():
            raise DivergedError(
                f"the model returned NaN or infinity at noise level {sigma:.3g}. If this run fine-tunes, "
                "lower its learning rate or bound its negatives; if it is the base model, prepare it again."
            )
        return x0.clamp(*self.clip) if self.clip else x0
