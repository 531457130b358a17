"""The interface of a task: a model with its users, judges and references. Methods never see a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from papa.errors import PapaError


class Judge(Protocol):
    """Class probabilities of images. "gold" gives the labels; no method queries the others."""

    def probabilities(self, images: Tensor) -> np.ndarray:
        """(n, ...) images -> (n, classes) float64, rows of sum 1."""
        ...


@dataclass(frozen=True)
class References:
    """Real (n, C, H, W) images that nothing was fitted to, their (n,) classes, and the network whose (n, feature_dim)
    features FID compares."""

    images: Tensor
    labels: np.ndarray
    features: nn.Module
    feature_dim: int


class Task(ABC):
    """A model with hidden users, judges and references.

    Args:
        settings: of the task and its model.
        device: where it runs.
        store: a cache folder for deterministic, expensive results; None disables the cache.

    Attributes:
        model: the model that is aligned.
        concepts: attributes of the classes, where classes have attributes.
    """

    concepts: list[dict[str, Any]] = []

    def __init__(self, settings: Any, device: str = "cpu", store: Path | None = None) -> None:
        self.settings, self.device, self.store = settings, device, store
        self.model: Any = self.load_model()

    @abstractmethod
    def load_model(self) -> Any:
        """The model, on the task's device."""

    def check(self, log: Callable[[str], None]) -> None:  # noqa: B027 - most tasks have nothing to check
        """Check the artefacts, beyond their sha256, before a run."""

    def judges(self) -> dict[str, Judge]:
        """Judges by name ("gold", "held_out"); empty if preference is not by class."""
        return {}

    def references(self) -> References | None:
        """Real images for FID and KID; None without any."""
        return None

    def other_real_images(self) -> tuple[Tensor, np.ndarray]:
        """Real images and labels that the references leave out, for the floor of FID and KID.

        Raises:
            PapaError: if there are none.
        """
        raise PapaError(f"{type(self).__name__} has no real images")

    def training_images(self) -> Tensor | None:
        """Images that the base model was trained on; None if they are unlimited or not available."""
        return None

    def features(self) -> nn.Module | None:
        """The network whose features diversity compares without references, (n, ...) images -> (n, d); or None."""
        return None

    def retention(self, classes: tuple[int, ...] | None) -> tuple[str, tuple[int, ...]] | None:
        """Another prompt, and the classes it asks for; a user of `classes` prefers at most half of them. Or None."""
        return None


class Attributes(Protocol):
    """Probabilities of each value of each attribute of an image."""

    @property
    def values(self) -> Mapping[str, Sequence[str]]:
        """Attribute -> its values."""
        ...

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """(n, C, H, W) images -> attribute -> (n, values) probabilities, differentiable."""
        ...
