"""Tasks of labelled pictures whose latent is the picture: a DDPM, judges of two families, references.

Three disjoint parts of real pictures: A labels (gold judge), B never queried (held-out judge), C reference (FID and the
judges' accuracies). The base model and FID's feature network were trained on A and B, not C. The model card of each
task has its figures (`papa/data/TASK/README.md`).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from papa.benchmark.tasks.artefacts import folder, verified_card
from papa.benchmark.tasks.images import Classifier, ClassifierJudge, StandardizedFeatures, load_classifier
from papa.benchmark.tasks.interface import Judge, References, Task
from papa.models.settings import SamplingSettings
from papa.models.unet import UNetModel

CLASSES = 10


class SmallClassifier(Classifier):
    """Two convolutions, a pooled grid, and a bottleneck of `features` dimensions.

    Input (n, 1, side, side) in [-1, 1]; output (n, 10) logits.
    """

    def __init__(self, side: int, width: int, features: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(2 * width * (side // 4) ** 2, features),
        )
        self.head = nn.Linear(features, CLASSES)


S = TypeVar("S", bound=SamplingSettings)


class LabelledPictures(Task[S, UNetModel]):
    """What such tasks share; a task says what its pictures, networks and held-out judge are."""

    name: ClassVar[str]

    @staticmethod
    @abstractmethod
    def new_gold() -> SmallClassifier:
        """The classifier that labels, not yet trained."""

    @staticmethod
    @abstractmethod
    def new_features() -> SmallClassifier:
        """The classifier whose bottleneck FID compares, not yet trained."""

    @staticmethod
    @abstractmethod
    def held_out(images: Tensor, labels: np.ndarray) -> Judge:
        """A judge of another family, fitted to (n, 1, H, W) images."""

    @abstractmethod
    def real(self) -> tuple[Tensor, np.ndarray]:
        """All real (n, 1, H, W) images in [-1, 1] and their (n,) labels."""

    def load_model(self) -> UNetModel:
        self.card: dict[str, Any] = verified_card(self.name)
        spread = self.card["spread"]
        return UNetModel.from_folder(folder(self.name), settings=self.settings, spread=spread, device=self.device)

    # ------------------------------------------------------------ judges and references

    def gold_network(self) -> Classifier:
        """The classifier that labels."""
        return load_classifier(self.new_gold(), folder(self.name) / "gold.safetensors", self.device)

    def ink(self) -> tuple[float, float]:
        """Mean and standard deviation of the real images' ink."""
        return self.card["ink"]["mean"], self.card["ink"]["std"]

    def part(self, name: str) -> tuple[Tensor, np.ndarray]:
        """Images and labels of part "A", "B" or "C"."""
        images, labels = self.real()
        chosen = self.card["splits"][name]
        return images[chosen], labels[chosen]

    def judges(self) -> dict[str, Judge]:
        return {"gold": ClassifierJudge(self.gold_network()), "held_out": self.held_out(*self.part("B"))}

    def references(self) -> References:
        images, labels = self.part("C")
        net = load_classifier(self.new_features(), folder(self.name) / "features.safetensors", self.device)
        features = StandardizedFeatures(net, self.other_real_images()[0].to(self.device))
        return References(images, labels, features, features.dim)

    def training_images(self) -> Tensor:
        return self.other_real_images()[0]

    def other_real_images(self) -> tuple[Tensor, np.ndarray]:
        (xa, ya), (xb, yb) = self.part("A"), self.part("B")
        return torch.cat([xa, xb]), np.concatenate([ya, yb])
