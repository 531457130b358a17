"""What a task is: a model, and what the benchmark adds to it. No method is given one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
from torch import Tensor, nn

from papa.errors import PapaError
from papa.models.interface import Model
from papa.models.mixture import Mixture
from papa.models.settings import SamplingSettings

if TYPE_CHECKING:
    from papa.benchmark.tasks.images import Classifier
    from papa.benchmark.tasks.prompts import ClipJudge


class Judge(Protocol):
    """Says how likely each class is. `gold` gives the labels; no method queries the others."""

    def probabilities(self, images: Tensor) -> np.ndarray:
        """(n, ...) images -> (n, classes) float64, rows of sum 1."""
        ...


@dataclass(frozen=True)
class References:
    """Real images that nothing was fitted to, and the network whose features FID compares.

    images: (n, C, H, W). labels: (n,) classes. features: (n, C, H, W) -> (n, feature_dim).
    """

    images: Tensor
    labels: np.ndarray
    features: nn.Module
    feature_dim: int


S = TypeVar("S", bound=SamplingSettings)
M = TypeVar("M", bound=Model)


class Task(ABC, Generic[S, M]):
    """A model with hidden users, judges and references.

    Args:    settings: of the task and its model. device: where it runs. store: a folder for what takes time to make and
             is the same every time; None keeps nothing.

    Attributes: model: what is aligned. concepts: attributes of the classes that the judges tell apart, where classes
    have attributes.
    """

    concepts: list[dict[str, Any]] = []

    def __init__(self, settings: S, device: str = "cpu", store: Path | None = None) -> None:
        self.settings, self.device, self.store = settings, device, store
        self.model = self.load_model()

    @abstractmethod
    def load_model(self) -> M:
        """The model, on the task's device."""

    def check(self, log: Callable[[str], None]) -> None:
        """Check the artefacts, beyond their sha256, before anything is run."""

    def judges(self) -> dict[str, Judge]:
        """Judges by name ("gold", "held_out"); empty where preference is not by class."""
        return {}

    def references(self) -> References | None:
        """Real images for FID and KID, or None where the truth is known in closed form."""
        return None

    def other_real_images(self) -> tuple[Tensor, np.ndarray]:
        """Real images and labels that the references leave out, for the floor of FID and KID.

        Raises:  PapaError where there are none.
        """
        raise PapaError(f"{type(self).__name__} has no real images")

    def training_images(self) -> Tensor | None:
        """The images that the base model was trained on; None where there are no end of them, or they are not here."""
        return None

    def features(self) -> nn.Module | None:
        """The network whose features diversity compares where there are no references, (n, ...) images -> (n, d).

        It labels nothing and no method queries it. None without one.
        """
        return None

    def retention(self, classes: tuple[int, ...] | None) -> tuple[str, tuple[int, ...]] | None:
        """Another prompt, and the classes that it asks for, at most half of which a user of `classes` likes.

        How often an aligned model still draws those is its retention. None where there is no such prompt.
        """
        return None


AnyTask = Task[Any, Any]


# ---------------------------------------------------------------- what users ask of a task


class LabelsClasses(Protocol):
    """Offers "classes"."""

    def gold_network(self) -> Classifier:
        """The classifier that labels: images -> logits, differentiable."""
        ...


class KnowsInk(Protocol):
    """Offers "ink"."""

    def ink(self) -> tuple[float, float]:
        """Mean and standard deviation of the real images' ink."""
        ...


class LabelsConcepts(Protocol):
    """Offers "concepts"."""

    def proxy(self) -> ClipJudge:
        """The OpenCLIP judge that labels."""
        ...

    def known_images(self) -> tuple[Tensor, np.ndarray]:
        """Images whose concept is known, and their concepts: what a graded user calibrates its answers on."""
        ...


class Attributes(Protocol):
    """How likely each value of each attribute of a picture is."""

    @property
    def values(self) -> Mapping[str, Sequence[str]]:
        """Attribute -> its values."""
        ...

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """(n, C, H, W) images -> attribute -> (n, values) shares, differentiable."""
        ...


class KnowsAttributes(Protocol):
    """Offers "attributes"."""

    def attributes(self) -> Attributes:
        """The attributes of pictures, by the judgement of the model that labels."""
        ...

    def eyes(self) -> Mapping[str, Attributes]:
        """The same by every judge: "gold" is the model that labels, no method queries the others."""
        ...

    def known_images(self) -> tuple[Tensor, np.ndarray]:
        """Images whose concept is known, and their concepts."""
        ...


class LabelsHastily(Protocol):
    """Offers "hasty"."""

    def hasty(self) -> Classifier:
        """A classifier of concepts that was trained on few pictures."""
        ...

    def proxy(self) -> ClipJudge:
        """The OpenCLIP judge whose bank has the concepts."""
        ...


class KnowsDensity(Protocol):
    """Offers "density"."""

    @property
    def mixture(self) -> Mixture:
        """The exact density of the base."""
        ...
