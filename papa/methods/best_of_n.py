"""Best of n: a reward model learns from labels of base samples and picks each sample among n candidates."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from papa.feedback import Feedback, Query
from papa.methods._lazy import Tensor, torch
from papa.methods._surrogate import Surrogate, SurrogateSettings
from papa.methods.declaration import Declaration, MethodSettings
from papa.methods.interface import Method
from papa.settings import Positive


class BestOfNSettings(MethodSettings):
    """Best of n candidates of the base by a surrogate trained on B labels of base samples."""

    dial: ClassVar = "n"

    n: Positive = 4
    """Candidates per returned sample."""
    surrogate: SurrogateSettings = SurrogateSettings()

    @property
    def candidates(self) -> int:
        return self.n


B = TypeVar("B", bound=BestOfNSettings)


class BestOfN(Method[B]):
    """Every returned sample costs n base samples, which `cost` counts."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.surrogate = Surrogate(self, self.settings.surrogate)
        self._error = float("nan")

    @property
    def asks_the_base(self) -> bool:
        return not self.surrogate.from_pool

    def ask(self, k: int) -> Query:
        return self.surrogate.ask(k)

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.surrogate.seen.add(query, feedback)
        if self.settings.n > 1:  # with one candidate there is nothing to choose
            self._error = self.surrogate.fit()

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


BEST_OF_N = Declaration(BestOfNSettings, BestOfN, "rejection by a reward model, a standard", draws="picked")
