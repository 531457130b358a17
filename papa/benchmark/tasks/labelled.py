"""Tasks of labelled images whose latent is the image: a DDPM, judges of two families, references.

Three disjoint parts of real images: A labels (gold judge), B is never queried (held-out judge), C is the reference (FID
and the judges' accuracies). The base model and FID's feature network were trained on A and B. Figures: the task's model
card, `papa/data/TASK/README.md`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from papa.benchmark.tasks.artefacts import folder, verified_card
from papa.benchmark.tasks.images import Classifier, ClassifierJudge, StandardizedFeatures, load_classifier
from papa.benchmark.tasks.interface import Judge, References, Task
from papa.models.unet import UNetModel


class SmallClassifier(Classifier):
    """Two convolutions, a pooled grid, and a bottleneck of `features` dimensions.

    Input (n, 1, side, side) in [-1, 1]; output (n, classes) logits.
    """

    def __init__(self, side: int, width: int, features: int, classes: int = 10, dropout: float = 0.2) -> None:
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
        self.head = nn.Linear(features, classes)


class FittedJudge:
    """A scikit-learn classifier as a judge, of another family than the gold judge and fitted where it is used.

    Args:
        machine: classifier, not yet fitted.
        features: (n, C, H, W) images -> (n, d) array.
        images: (n, C, H, W) training images.
        labels: (n,) their classes.
    """

    def __init__(
        self, machine: Any, features: Callable[[Tensor], np.ndarray], images: Tensor, labels: np.ndarray
    ) -> None:
        self.features, self.machine = features, machine.fit(features(images), labels)
        self.classes = int(labels.max()) + 1

    def probabilities(self, images: Tensor) -> np.ndarray:
        """One-hot decisions."""
        return np.eye(self.classes)[self.machine.predict(self.features(images))]


class LabelledImages(Task):
    """A task of labelled images; a subclass defines images, sizes (width, features) of networks, and held-out judge."""

    name: ClassVar[str]
    side: ClassVar[int]
    gold_size: ClassVar[tuple[int, int]]
    features_size: ClassVar[tuple[int, int]]
    model: UNetModel

    @classmethod
    def new_gold(cls) -> SmallClassifier:
        """The classifier that labels, untrained."""
        return SmallClassifier(cls.side, *cls.gold_size)

    @classmethod
    def new_features(cls) -> SmallClassifier:
        """The classifier whose bottleneck FID compares, untrained."""
        return SmallClassifier(cls.side, *cls.features_size)

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
        net = load_classifier(self.new_features(), folder(self.name) / "features.safetensors", self.device)
        features = StandardizedFeatures(net, self.training_images().to(self.device))
        return References(*self.part("C"), features, features.dim)

    def training_images(self) -> Tensor:
        return self.other_real_images()[0]

    def other_real_images(self) -> tuple[Tensor, np.ndarray]:
        (xa, ya), (xb, yb) = self.part("A"), self.part("B")
        return torch.cat([xa, xb]), np.concatenate([ya, yb])
