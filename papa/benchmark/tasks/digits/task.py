"""The digits: the shipped DDPM, judges of two families, and reference images that nothing was fitted to.

Three disjoint parts: A labels (gold judge), B never queried (held-out judge), C reference (FID and the
judges' accuracies). The base model and FID's feature network were trained on A and B, not C. See
`papa/data/digits/README.md` for the model card.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.tasks.artefacts import folder, verified_card
from papa.benchmark.tasks.digits import DigitsSettings
from papa.benchmark.tasks.digits.nets import SHAPE, DigitClassifier, feature_network, gold_judge
from papa.benchmark.tasks.images import ClassifierJudge, StandardizedFeatures, load_classifier
from papa.benchmark.tasks.interface import Judge, References, Task
from papa.models.unet import UNetModel

NAME = "digits"

GAMMA: Any = 0.02
"""Kernel width of the held-out judge (`Any`: scikit-learn's annotation has only the strings)."""


@cache
def real_digits() -> tuple[Tensor, np.ndarray]:
    """All (1797, 1, 8, 8) images in [-1, 1] and their (1797,) labels."""
    from sklearn.datasets import load_digits  # a second of import that aligning does not need

    pixels, labels = load_digits(return_X_y=True)
    images = np.asarray(pixels, dtype=np.float32).reshape(-1, *SHAPE) / 8 - 1
    return torch.from_numpy(images), np.asarray(labels)


class Digits(Task[DigitsSettings, UNetModel]):
    """8x8 handwritten digits; the latent is the image."""

    def load_model(self) -> UNetModel:
        self.card: dict[str, Any] = verified_card(NAME)
        spread = self.card["spread"]
        return UNetModel.from_folder(folder(NAME), settings=self.settings, spread=spread, device=self.device)

    # ------------------------------------------------------------ judges and references

    def gold_network(self) -> DigitClassifier:
        """The classifier that labels."""
        return load_classifier(gold_judge(), folder(NAME) / "gold.safetensors", self.device)

    def ink(self) -> tuple[float, float]:
        """Mean and standard deviation of the real images' ink."""
        return self.card["ink"]["mean"], self.card["ink"]["std"]

    def part(self, name: str) -> tuple[Tensor, np.ndarray]:
        """Images and labels of part "A", "B" or "C"."""
        images, labels = real_digits()
        chosen = self.card["splits"][name]
        return images[chosen], labels[chosen]

    def judges(self) -> dict[str, Judge]:
        return {"gold": ClassifierJudge(self.gold_network()), "held_out": HeldOutJudge(*self.part("B"))}

    def references(self) -> References:
        images, labels = self.part("C")
        net = load_classifier(feature_network(), folder(NAME) / "features.safetensors", self.device)
        features = StandardizedFeatures(net, self.other_real_images()[0])
        return References(images, labels, features, features.dim)

    def other_real_images(self) -> tuple[Tensor, np.ndarray]:
        (xa, ya), (xb, yb) = self.part("A"), self.part("B")
        return torch.cat([xa, xb]), np.concatenate([ya, yb])


class HeldOutJudge:
    """A support vector machine on part B: another family of classifier, trained on other images than the gold judge.

    It is fitted where it is used (0.1 s, deterministic), so there is no weight file to trust.
    """

    def __init__(self, images: Tensor, labels: np.ndarray) -> None:
        from sklearn.svm import SVC

        self.machine = SVC(C=10.0, gamma=GAMMA).fit(images.flatten(1).numpy(), labels)

    def probabilities(self, images: Tensor) -> np.ndarray:
        """One-hot decisions: this judge gives no probabilities in between."""
        return np.eye(10)[self.machine.predict(images.flatten(1).cpu().numpy())]
