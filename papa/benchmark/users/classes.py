"""A user who likes some classes: the paper's digits {1, 4, 7, 9} and others."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from papa.benchmark.users.interface import User


class ClassUser(User):
    """Likes an image whose class, as the task's gold judge sees it, is among `classes`.

    The answer is binary: the argmax class is in the set. The probability is recorded beside it.
    """

    def __init__(self, classes: tuple[int, ...]) -> None:
        self.classes = classes

    def meet(self, task: Any) -> None:
        self._gold = task.gold_network()

    def liking(self, images: Tensor) -> Tensor:
        return self._gold(images).softmax(1)[:, list(self.classes or ())].sum(1)

    def verdict(self, images: Tensor) -> np.ndarray:
        return np.isin(self._gold(images).argmax(1).cpu().numpy(), self.classes or ()).astype(np.float64)
