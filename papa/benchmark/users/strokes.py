"""A fine-grained user on `digits`: whatever the digit, the thicker the stroke the better."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.users.interface import User


def ink(images: Tensor) -> Tensor:
    """(n, 1, 8, 8) images in [-1, 1] -> (n,) mean ink in [0, 1]; at 8x8, ink is stroke width."""
    return (images.mean((1, 2, 3)) + 1) / 2


class ThickStrokes(User):
    """Graded feedback: a logistic curve in the amount of ink, centred and scaled on the real images.

    At the real images' mean plus one standard deviation the liking is 1/2, two above it 0.88.
    """

    def meet(self, task: Any) -> None:
        self._mean, self._std = task.card["ink"]["mean"], task.card["ink"]["std"]

    def liking(self, images: Tensor) -> Tensor:
        return torch.sigmoid(2 * ((ink(images) - self._mean) / self._std - 1))

    def verdict(self, images: Tensor) -> np.ndarray:
        return self.liking(images).detach().cpu().numpy().astype(np.float64)
