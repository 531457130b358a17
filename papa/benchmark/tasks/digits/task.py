"""The digits: the shipped DDPM, judges of two families, and reference images that nothing was fitted to."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.tasks.labelled import FittedJudge, LabelledImages

NAME = "digits"
SIDE = 8

GAMMA: Any = 0.02
"""Kernel width of the held-out judge (`Any`: scikit-learn's annotation has only the strings)."""


@cache
def real_digits() -> tuple[Tensor, np.ndarray]:
    """All (1797, 1, 8, 8) images in [-1, 1] and their (1797,) labels."""
    from sklearn.datasets import load_digits  # a second of import that aligning does not need

    pixels, labels = load_digits(return_X_y=True)
    images = np.asarray(pixels, dtype=np.float32).reshape(-1, 1, SIDE, SIDE) / 8 - 1
    return torch.from_numpy(images), np.asarray(labels)


class Digits(LabelledImages):
    """8x8 handwritten digits; the latent is the image."""

    name, side, gold_size, features_size = NAME, SIDE, (24, 64), (16, 24)

    @staticmethod
    def held_out(images: Tensor, labels: np.ndarray) -> FittedJudge:
        """A support vector machine on pixels."""
        from sklearn.svm import SVC

        return FittedJudge(SVC(C=10.0, gamma=GAMMA), lambda x: x.flatten(1).cpu().numpy(), images, labels)

    def real(self) -> tuple[Tensor, np.ndarray]:
        return real_digits()
