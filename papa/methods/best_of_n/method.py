"""Best of n: a surrogate trained on labelled samples picks each sample among n candidates."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor

from papa.feedback import Feedback, Query
from papa.methods.best_of_n import BestOfNSettings
from papa.methods.shared.surrogate.method import WithSurrogate

B = TypeVar("B", bound=BestOfNSettings)


class BestOfN(WithSurrogate[B]):
    """No amortization: every returned sample costs n base samples, which `cost` counts."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._error = float("nan")

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        if self.settings.n > 1:  # one candidate leaves nothing to choose
            self._error = self.fit()

    def scored(self, n: int) -> tuple[Tensor, Tensor]:
        """Candidates of n samples, (n, candidates, ...), and their scores, (n, candidates)."""
        candidates = self.base_latents(n * self.settings.n)
        with torch.no_grad():
            scores = torch.cat([self.surrogate(part) for part in candidates.split(self.model.chunk)])
        return candidates.view(n, self.settings.n, *self.model.shape), scores.view(n, self.settings.n)

    def sample(self, n: int) -> Tensor:
        candidates, scores = self.scored(n)
        return candidates[torch.arange(n), scores.argmax(1)]

    def diagnostics(self) -> dict[str, float]:
        return {"surrogate_mse": self._error}
