"""Best of n: a reward model learns from labels of base samples and picks each sample among n candidates."""

from __future__ import annotations

from typing import ClassVar

from papa.methods.declaration import Declaration, MethodSettings
from papa.methods.shared.surrogate import SurrogateSettings
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


BEST_OF_N = Declaration(
    BestOfNSettings, "papa.methods.best_of_n.method:BestOfN", "rejection by a reward model, a standard", draws="picked"
)
