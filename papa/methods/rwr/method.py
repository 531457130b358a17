"""Reward-weighted regression.

    L = sum over labelled items of W_i (mean over t of MSE(eps, eps_theta(x_t^i, t))),   W = softmax(r / temperature)

Source: Peters & Schaal 2007, "Reinforcement learning by reward-weighted regression"; for diffusion models Lee et al.
2023 (arXiv 2302.12192) and Black et al. 2023 (arXiv 2305.13301), section 4.2, with these exponential weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from papa.feedback import Feedback, Query
from papa.methods.rwr import RwrSettings
from papa.methods.shared.finetune.training import FineTuned, Update


class Rwr(FineTuned[RwrSettings]):
    """Online fine-tuning on all labelled items, by their weights."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._mean = 1.0

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        answered = np.flatnonzero(~np.isnan(self.seen.preference))
        preference = self.seen.preference[answered]
        if len(answered):
            self._mean = float(self._exponential(preference).mean())
        self.train(self.seen.latents[torch.from_numpy(answered)], preference)

    def _exponential(self, preference: np.ndarray) -> np.ndarray:
        """exp((r - 1) / temperature), at most 1: the factor that this leaves out cancels in the weights."""
        return np.exp(2 * (preference - 1) / self.settings.temperature)

    def gradient(self, update: Update) -> tuple[float, ...]:
        """The items of an update are drawn evenly, so each stands for n / m of all n: n W_i / m of it."""
        weights = self._exponential(update.preference) / self._mean / len(update.x0)
        return (self.denoising_gradient(update, weights),)
