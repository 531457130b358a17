"""A user who likes some classes."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from papa.benchmark.tasks.interface import LabelsClasses
from papa.benchmark.users.classes import ClassTaste
from papa.benchmark.users.interface import User
from papa.errors import SettingsError


class ClassUser(User[ClassTaste, LabelsClasses]):
    """Likes an image whose class, by the task's gold judge, is among the taste's.

    The answer is binary: the argmax class is in the set. The probability is recorded beside it.
    """

    def meet(self, task: LabelsClasses) -> None:
        """Take over the classifier that labels.

        Raises:  SettingsError for a class that the task does not have.
        """
        self._gold, self.classes = task.gold_network(), self.taste.classes
        known = self._gold.head.out_features
        if beyond := [c for c in self.classes if c >= known]:
            raise SettingsError(f"a user likes class {beyond[0]}, and the task has the classes 0 to {known - 1}.")

    def preference(self, images: Tensor) -> Tensor:
        return self._gold(images).softmax(1)[:, list(self.classes or ())].sum(1)

    def verdict(self, images: Tensor) -> np.ndarray:
        return np.isin(self._gold(images).argmax(1).cpu().numpy(), self.classes or ()).astype(np.float64)
