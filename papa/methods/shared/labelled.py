"""What a method has been told: latents and preferences, in the order of the rounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from papa.feedback import Feedback, Query


class Labelled:
    """A growing set of labelled latents. `preference` is (n,) float64, NaN where unanswered."""

    def __init__(self) -> None:
        self._latents: list[Tensor] = []
        self._preference: list[np.ndarray] = []

    def add(self, query: Query, feedback: Feedback) -> None:
        self._latents.append(query.latents.detach())
        self._preference.append(feedback.preference)

    @property
    def latents(self) -> Tensor:
        return torch.cat(self._latents)

    @property
    def preference(self) -> np.ndarray:
        return np.concatenate(self._preference)

    def rounds(self) -> list[np.ndarray]:
        """The preferences of each round."""
        return list(self._preference)

    def last(self) -> tuple[Tensor, np.ndarray]:
        """The latest round alone."""
        return self._latents[-1], self._preference[-1]

    def state(self) -> dict[str, Any]:
        return {"latents": list(self._latents), "preference": list(self._preference)}

    def restore(self, state: dict[str, Any]) -> None:
        self._latents, self._preference = list(state["latents"]), list(state["preference"])
