"""Fine-grained users of digits: whatever the digit, they look at the thickness of its strokes."""

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


class Strokes(User[StrokeTaste, KnowsInk]):
    """Graded feedback on the amount of ink, in standard deviations z of the real images' ink from its mean.

    Thick strokes: a logistic curve, 1/2 at z = 1 and 0.88 at z = 2. One thickness: exp(-(z - best)^2 / (2 width^2)),
    which more of the same does not raise any further.
    """

    def meet(self, task: KnowsInk) -> None:
        """Take over the statistics of the real images' ink."""
        self._mean, self._std = task.ink()

    def preference(self, images: Tensor) -> Tensor:
        z = (ink(images) - self._mean) / self._std
        if (best := self.taste.best) is not None:
            return (-((z - best) ** 2) / (2 * self.taste.width**2)).exp()
        return torch.sigmoid(2 * (z - 1))

    def verdict(self, images: Tensor) -> np.ndarray:
        return self.preference(images).detach().cpu().numpy().astype(np.float64)
