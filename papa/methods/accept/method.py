"""Accept: the first candidate that a surrogate predicts to be liked. It stops there, where best of n goes on."""

from __future__ import annotations

import torch
from torch import Tensor

from papa.methods.accept import AcceptSettings
from papa.methods.best_of_n.method import BestOfN
from papa.methods.interface import evaluations_per_sample


class Accept(BestOfN[AcceptSettings]):
    """Rejection sampling. `cost` counts the candidates up to the one that was taken, though all n are sampled."""

    def sample(self, n: int) -> Tensor:
        candidates, scores = self.scored(n)
        passed = scores >= self.settings.level
        first, any_passed = passed.int().argmax(1), passed.any(1)  # argmax gives the first of equals
        taken = torch.where(any_passed, first, scores.argmax(1))
        looked_at = torch.where(any_passed, first + 1, self.settings.n)
        spared = n * self.settings.n - int(looked_at.sum())
        self.cost.forward -= spared * evaluations_per_sample(self.model)
        return candidates[torch.arange(n), taken]
