"""Accept: rejection sampling by a reward model; it takes the first candidate that scores high enough."""

from __future__ import annotations

from papa.methods._lazy import Tensor, torch
from papa.methods.best_of_n import BestOfN, BestOfNSettings
from papa.methods.declaration import Declaration
from papa.methods.interface import evaluations_per_sample
from papa.settings import Fraction, Positive


class AcceptSettings(BestOfNSettings):
    """The first candidate of the base whose surrogate score passes a level; if none does, the highest score."""

    n: Positive = 16
    """Candidates per returned sample, at most."""
    level: Fraction = 0.5
    """The surrogate score from which a candidate passes."""


class Accept(BestOfN[AcceptSettings]):
    """Rejection sampling. `cost` counts the candidates up to the accepted one, though all n are sampled."""

    def sample(self, n: int) -> Tensor:
        candidates, scores = self.scored(n)
        passed = scores >= self.settings.level
        first, any_passed = passed.int().argmax(1), passed.any(1)  # argmax gives the first of equals
        accepted = torch.where(any_passed, first, scores.argmax(1))
        examined = torch.where(any_passed, first + 1, self.settings.n)
        spared = n * self.settings.n - int(examined.sum())
        self.cost.forward -= spared * evaluations_per_sample(self.model)
        return candidates[torch.arange(n), accepted]


ACCEPT = Declaration(
    AcceptSettings,
    Accept,
    "rejection by a reward model, a standard",
    draws="picked",
    uses=("papa.methods.best_of_n",),
)
