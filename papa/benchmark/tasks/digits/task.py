"""The digits: the shipped DDPM, judges of two families, and reference images that nothing was fitted to."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.tasks.digits import DigitsSettings
from papa.benchmark.tasks.labelled import LabelledPictures, SmallClassifier

NAME = "digits"
SHAPE = (1, 8, 8)

GAMMA: Any = 0.02
"""Kernel width of the held-out judge (`Any`: scikit-learn's annotation has only the strings)."""


@cache
def real_digits() -> tuple[Tensor, np.ndarray]:
    """All (1797, 1, 8, 8) images in [-1, 1] and their (1797,) labels."""
    from sklearn.datasets import load_digits  # a second of import that aligning does not need

    pixels, labels = load_digits(return_X_y=True)
    images = np.asarray(pixels, dtype=np.float32).reshape(-1, *SHAPE) / 8 - 1
    return torch.from_numpy(images), np.asarray(labels)


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


class Digits(LabelledPictures[DigitsSettings]):
    """8x8 handwritten digits; the latent is the image."""

    name = NAME
    held_out = staticmethod(HeldOutJudge)

    @staticmethod
    def new_gold() -> SmallClassifier:
        return SmallClassifier(SHAPE[1], width=24, features=64)

    @staticmethod
    def new_features() -> SmallClassifier:
        return SmallClassifier(SHAPE[1], width=16, features=24)

    def real(self) -> tuple[Tensor, np.ndarray]:
        return real_digits()
