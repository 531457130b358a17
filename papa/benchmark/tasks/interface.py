"""What a task is: everything that an alignment method is run against."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from papa.benchmark.config import TaskSettings
from papa.diffusion.denoiser import Cost, Denoiser
from papa.errors import PapaError


class Judge(Protocol):
    """A classifier of images: (n, ...) images in the task's range -> (n, classes) probabilities."""

    def probabilities(self, images: Tensor) -> np.ndarray: ...


@dataclass
class References:
    """Real images that nothing was fitted to, and the network whose features FID compares.

    images: (n, ...) in the task's range. labels: (n,) true classes. features: module, images -> (n, d).
    """

    images: Tensor
    labels: np.ndarray
    features: nn.Module
    feature_dim: int


@dataclass
class Task(ABC):
    """A pre-trained diffusion model with its condition, decoder, judges and references.

    Attributes: shape: of one latent. condition: prompt, or None. spread: standard deviation of the
    data per coordinate (sigma_d). alphas_cumprod: (T,) training schedule, None without a network.
    concepts: attributes of the classes that the judges tell apart, where classes have attributes.
    """

    settings: TaskSettings
    device: str = "cpu"
    dtype: torch.dtype = field(default=torch.float32, init=False)
    shape: tuple[int, ...] = field(default=(), init=False)
    condition: str | None = field(default=None, init=False)
    spread: float = field(default=1.0, init=False)
    alphas_cumprod: Tensor | None = field(default=None, init=False)
    concepts: ClassVar[list[dict[str, Any]]] = []

    def __post_init__(self) -> None:  # noqa: B027 - a hook: subclasses load their model here
        """Called by the generated `__init__`."""

    @property
    def evaluations_per_step(self) -> int:
        """Denoiser evaluations of one item and step (two with classifier-free guidance)."""
        return 1

    @abstractmethod
    def sigmas(self) -> Tensor:
        """(steps + 1,) float64 noise levels of the task's sampler, the last one 0."""

    @abstractmethod
    def denoiser(self, cost: Cost, unet: nn.Module | None = None) -> Denoiser:
        """The base model as a denoiser, or another network in its place; evaluations go to `cost`."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Latents -> images in the task's range, differentiable."""

    def unet(self) -> nn.Module:
        """A fresh copy of the base network, for fine-tuning.

        Raises:  PapaError where the task has no network (an exact score).
        """
        raise PapaError(
            f"task {type(self).__name__.lower()} has an exact score and no network to fine-tune; "
            "use a method that leaves the model as it is: base, best_of_n or fkc."
        )

    def prompted(self, prompt: str) -> AbstractContextManager[None]:
        """Everything that is drawn inside is drawn for another prompt.

        Raises:  PapaError for a task without prompts.
        """
        raise PapaError(f"task {type(self).__name__.lower()} has no prompt, so it draws for no other one")

    def retention(self, classes: tuple[int, ...] | None) -> tuple[str, tuple[int, ...]] | None:
        """Another prompt, and the classes that it asks for, at most half of them what a user of `classes` is after.

        How often an aligned model still draws those is what it retained. None where there is no such prompt.
        """
        return None

    def frozen_unet(self) -> nn.Module:
        """A copy of the base network that wants no gradient, for adapters.

        Raises:  PapaError where the task has no network.
        """
        return self.unet().requires_grad_(False)

    def prepare(self, results: Path, log: Callable[[str], None]) -> list[Path]:
        """Make what figures need of the task beside its runs, in `results`; returns the files."""
        return []

    def pack(self, images: Tensor) -> np.ndarray:
        """Images as they are stored in a run record."""
        return images.detach().cpu().numpy()

    def unpack(self, stored: np.ndarray) -> Tensor:
        """The inverse of `pack`, up to rounding."""
        return torch.from_numpy(stored)

    def judges(self) -> dict[str, Judge]:
        """Judges by name ("gold", "held_out"); empty where preference is not by class."""
        return {}

    def references(self) -> References | None:
        """Real images for FID and KID, or None where the truth is known in closed form."""
        return None

    def features(self) -> nn.Module | None:
        """The network whose features diversity compares where there are no references, (n, ...) images -> (n, d).

        It labels nothing and no method queries it. None without one.
        """
        return None

    def known_images(self) -> tuple[Tensor, np.ndarray]:
        """Images whose class is known, and their classes: what a graded user calibrates its answers on.

        Raises:  PapaError where there are none.
        """
        raise PapaError(f"{type(self).__name__} has no images of known class")

    def other_real_images(self) -> tuple[Tensor, np.ndarray]:
        """Real images and labels that the references leave out, for the floor of FID and KID.

        Raises:  PapaError where there are none.
        """
        raise PapaError(f"{type(self).__name__} has no real images")
