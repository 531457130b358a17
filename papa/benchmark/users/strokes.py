"""Fine-grained users of handwritten digits: they look at the thickness of the strokes, whatever the digit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from papa.benchmark.users.interface import Taste, User, UserKind
from papa.settings import Rate

if TYPE_CHECKING:
    from torch import Tensor


class StrokeTaste(Taste):
    """Thick strokes, or strokes of one thickness."""

    graded: ClassVar[bool] = True
    """These users always answer with grades."""

    best: Annotated[float, Field(ge=-3, le=3)] | None = None
    """The best thickness, in standard deviations above the mean of the real images; None: the thicker the better."""
    width: Rate = 0.5
    """With `best`: standard deviations from it at which the preference falls to 0.61."""


def ink(images: Tensor) -> Tensor:
    """(n, 1, H, W) images in [-1, 1] -> (n,) mean ink in [0, 1], which measures the width of the strokes."""
    return (images.mean((1, 2, 3)) + 1) / 2


class Strokes(User):
    """Graded answers by the ink of an image, as standard deviations z from the mean of the real images.

    Thick strokes: a logistic curve, 1/2 at z = 1 and 0.88 at z = 2. One thickness: exp(-(z - best)^2 / (2 width^2)).
    """

    def calibrate(self, task: Any) -> None:
        self._mean, self._std = task.ink()

    def preference(self, images: Tensor) -> Tensor:
        z = (ink(images) - self._mean) / self._std
        if (best := self.taste.best) is not None:
            return (-((z - best) ** 2) / (2 * self.taste.width**2)).exp()
        return (2 * (z - 1)).sigmoid()

    def verdict(self, images: Tensor) -> np.ndarray:
        return self.preference(images).detach().cpu().numpy().astype(np.float64)


STROKES = UserKind(StrokeTaste, Strokes, needs="ink")
