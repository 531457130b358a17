"""RWR: reward-weighted regression.

    L = sum over labelled items of W_i (mean over t of MSE(eps, eps_theta(x_t^i, t))),   W = softmax(r / temperature)

Source: Peters & Schaal 2007, "Reinforcement learning by reward-weighted regression"; for diffusion models Lee et al.
2023 (arXiv 2302.12192) and Black et al. 2023 (arXiv 2305.13301), section 4.2, with these exponential weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from papa.feedback import Feedback, Query
from papa.methods._finetune import FineTuned, FinetuneSettings, Update
from papa.methods.declaration import Declaration
from papa.settings import Rate


class RwrSettings(FinetuneSettings):
    """Reward-weighted regression: the denoising loss weighted by softmax(r / temperature), r = 2 s - 1."""

    temperature: Rate = 0.5
    """Temperature of the weights: at 0.5 a liked item weighs 55 times a disliked one, near 0 it is RAFT."""


class Rwr(FineTuned[RwrSettings]):
    """Online fine-tuning on all labelled items."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._mean = 1.0

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        latents, preference = self.seen.answered()
        if len(preference):
            self._mean = float(self._exponential(preference).mean())
        self.train(latents, preference)

    def _exponential(self, preference: np.ndarray) -> np.ndarray:
        """exp((r - 1) / temperature), at most 1; the omitted factor cancels in the weights."""
        return np.exp(2 * (preference - 1) / self.settings.temperature)

    def gradient(self, update: Update) -> tuple[float, ...]:
        """Items of an update are sampled uniformly, so each has weight n W_i / m."""
        weights = self._exponential(update.preference) / self._mean / len(update.x0)
        return (self.denoising_gradient(update, weights),)


RWR = Declaration(RwrSettings, Rwr, "reward-weighted regression (arXiv 2302.12192)")
