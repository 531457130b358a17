"""What a surrogate reward is: it learns a user's preference of clean latents from few answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from papa.diffusion.denoiser import Cost
from papa.models.interface import Model
from papa.rng import Stream


@dataclass(frozen=True)
class Known:
    """What a surrogate may use of the method that has it. base: the first n base samples. cost: gives that method's."""

    model: Model
    stream: Stream
    base: Callable[[int], Tensor]
    cost: Callable[[], Cost]


class RewardModel(Protocol):
    """A surrogate reward."""

    def __call__(self, latents: Tensor) -> Tensor:
        """(n, ...) clean latents -> (n,) preference, differentiable."""
        ...

    def fit(self, latents: Tensor, preference: np.ndarray, stream: Stream) -> float:
        """Learn from all answers (NaN = unanswered); returns the mean squared error of what was answered."""
        ...

    def state(self) -> dict[str, Any]:
        """What was learned, as copies."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state made by `state`."""
        ...
