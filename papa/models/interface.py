"""The interface of diffusion models: noise levels, a denoiser, a decoder, and a network to fine-tune.

A model has no judges, users or references; the benchmark's tasks have those, and a model each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from papa.diffusion.denoiser import Cost, Denoiser
from papa.errors import ModelError

if TYPE_CHECKING:
    from papa.models.personal.adapter import UserAdapter

MARKS = 4
"""Side of the grid of grey levels that identifies an image in a session's log."""


class Model(ABC):
    """A diffusion model.

    Attributes:
        device, dtype: of latents.
        shape: of one latent.
        steps: denoising steps of every sampler.
        chunk: items of one forward pass when sampling (another size changes the last bits).
        spread: standard deviation of the data per coordinate (sigma_d).
        alphas_cumprod: (T,) training schedule; None without a network.
        prompt: the current prompt; None for a model without prompts.
        personal: loads the user adapter and its encoder; None for a model without one.
    """

    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    shape: tuple[int, ...]
    steps: int
    chunk: int = 256
    spread: float = 1.0
    alphas_cumprod: Tensor | None = None
    prompt: str | None = None
    personal: Callable[[], UserAdapter] | None = None

    @staticmethod
    def from_pipeline(pipe: Any, prompt: str | None = None, **given: Any) -> Model:
        """See `papa.models.opening.from_pipeline`."""
        from papa.models.opening import from_pipeline

        return from_pipeline(pipe, prompt, **given)

    @staticmethod
    def from_pretrained(name: str | Path, prompt: str | None = None, **given: Any) -> Model:
        """See `papa.models.opening.from_pretrained`."""
        from papa.models.opening import from_pretrained

        return from_pretrained(name, prompt, **given)

    @property
    def evaluations_per_step(self) -> int:
        """Denoiser evaluations of one item and step (two with classifier-free guidance)."""
        return 1

    @property
    def half_precision(self) -> torch.dtype | None:
        """The autocast type of networks in training; None for float32."""
        return None

    @property
    def own_prompt(self) -> bool:
        """Whether no other prompt is set by `prompted`."""
        return True

    @abstractmethod
    def sigmas(self) -> Tensor:
        """(steps + 1,) float64 noise levels of the sampler, the last one 0."""

    @abstractmethod
    def denoiser(self, cost: Cost, network: nn.Module | None = None) -> Denoiser:
        """The denoiser of the model, or of another network in its place; evaluations are counted in `cost`."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Latents -> images (in [-1, 1]) or points, differentiable."""

    def encode(self, images: Tensor) -> Tensor:
        """(n, 3, H, W) images in [-1, 1] of the size of `decode` -> (n, ...) latents, approximately its inverse."""
        raise ModelError(f"{type(self).__name__} cannot encode images; use a model of images.")

    def image_size(self) -> tuple[int, int]:
        """(height, width) of the images that `decode` returns."""
        with torch.no_grad():
            decoded = self.decode(torch.zeros(1, *self.shape, dtype=self.dtype, device=self.device))
        if decoded.ndim != 4:
            raise ModelError(f"{type(self).__name__} has no images; use a model of images.")
        return decoded.shape[2], decoded.shape[3]

    def network(self) -> nn.Module:
        """A trainable copy of the network: (x_t, t) -> an object whose `sample` is the noise."""
        raise ModelError(
            f"{type(self).__name__} has an exact score and no network to fine-tune; use base, best_of_n or fkc."
        )

    def frozen_network(self) -> nn.Module:
        """A frozen copy of the network, for adapters."""
        return self.network().requires_grad_(False)

    def prompted(self, prompt: str) -> AbstractContextManager[None]:
        """A block in which the model samples for another prompt."""
        raise ModelError(f"{type(self).__name__} does not support prompts")

    def with_adapter(self, personal: UserAdapter, scale: float | None = None) -> Model:
        """The same model with an adapter (scale: its own by default); it shares frozen weights and has no user yet."""
        raise ModelError(f"{type(self).__name__} has no cross-attention, so it cannot be conditioned on a user")

    def conditioned_on(self, person: Tensor | None) -> Model:
        """The same model conditioned on a user, (tokens, width) of its user encoder, or on none."""
        raise ModelError(f"{type(self).__name__} has no adapter, so it cannot be conditioned on a user")

    def save(self, folder: Path, network: nn.Module, about: Mapping[str, Any] | None = None) -> None:
        """Write an aligned model as a folder that diffusers loads, with its sampling settings and `about`."""
        raise ModelError(f"{type(self).__name__} cannot be saved as a folder of diffusers")

    def pack(self, images: Tensor) -> np.ndarray:
        """Images as uint8 for storage; points unchanged."""
        if images.ndim != 4:
            return images.detach().cpu().numpy()
        return ((images.detach().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()

    def unpack(self, stored: np.ndarray) -> Tensor:
        """The inverse of `pack`, up to rounding."""
        images = torch.from_numpy(stored)
        return images.float() / 127.5 - 1 if images.dtype == torch.uint8 else images

    def marks(self, images: Tensor) -> list[list[float]]:
        """Fingerprints of items in a log: coarse grey levels of images, coordinates of points."""
        values = images.detach().double().cpu()
        if values.ndim == 4:
            values = nn.functional.adaptive_avg_pool2d(values.mean(1, keepdim=True), MARKS).flatten(1)
        return [[round(value, 3) for value in row] for row in values.flatten(1).tolist()]
