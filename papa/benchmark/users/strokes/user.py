"""A fine-grained user on `digits`: whatever the digit, the thicker the stroke the better."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.tasks.interface import KnowsInk
from papa.benchmark.users.interface import User
from papa.benchmark.users.strokes import StrokeTaste


def ink(images: Tensor) -> Tensor:
    """(n, 1, 8, 8) images in [-1, 1] -> (n,) mean ink in [0, 1]; at 8x8, ink is stroke width."""
    return (images.mean((1, 2, 3)) + 1) / 2


class ThickStrokes(User[StrokeTaste, KnowsInk]):
    """Graded feedback: a logistic curve in the amount of ink, centred and scaled on the real images.

    At the real images' mean plus one standard deviation the liking is 1/2, at the mean plus two 0.88.
    """

    def meet(self, task: KnowsInk) -> None:
        """Take over the statistics of the real images' ink."""
        self._mean, self._std = task.ink()

    def liking(self, images: Tensor) -> Tensor:
        return torch.sigmoid(2 * ((ink(images) - self._mean) / self._std - 1))

    def verdict(self, images: Tensor) -> np.ndarray:
        return self.liking(images).detach().cpu().numpy().astype(np.float64)
