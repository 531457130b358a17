"""Users who prefer some classes: the paper's digits {1, 4, 7, 9} and others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from papa.benchmark.users.interface import Taste, User, UserKind
from papa.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor


class ClassTaste(Taste):
    """Some classes of the task's gold judge."""

    classes: Annotated[tuple[Annotated[int, Field(ge=0, le=10**6, strict=True)], ...], Field(min_length=1)]
    """The preferred classes."""


class ClassUser(User):
    """Likes an image whose class, by the gold judge, is a preferred one. Answers are binary."""

    def calibrate(self, task: Any) -> None:
        """Load the gold judge.

        Raises:
            SettingsError: for a class that the task does not have.
        """
        self._gold, self.classes = task.gold_network(), tuple(self.taste.classes)
        known = self._gold.head.out_features
        if beyond := [c for c in self.classes if c >= known]:
            raise SettingsError(f"a user prefers class {beyond[0]}, and the task has the classes 0 to {known - 1}.")

    def preference(self, images: Tensor) -> Tensor:
        return self._gold(images).softmax(1)[:, list(self.classes or ())].sum(1)

    def verdict(self, images: Tensor) -> np.ndarray:
        return np.isin(self._gold(images).argmax(1).cpu().numpy(), self.classes or ()).astype(np.float64)


CLASSES = UserKind(ClassTaste, ClassUser, needs="classes")
