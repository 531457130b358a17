"""Best of n: a reward model learns from labels of base samples and picks each sample among n candidates."""

from __future__ import annotations

from pydantic import model_validator

from papa.methods.declaration import Declaration, MethodSettings, Training
from papa.methods.papa import PapaSettings
from papa.methods.shared.surrogate import SurrogateSettings
from papa.settings import Positive


class BestOfNSettings(MethodSettings):
    """Best of n candidates of the base by a surrogate trained on B labels."""

    n: Positive = 4
    """Candidates per returned sample."""
    queries_of: PapaSettings | None = None
    """Whose samples are labelled: the base's (None), or those that PAPA with these settings shows. With PAPA's, the
    surrogate learns from PAPA's own labels: what a reward model makes of them. PAPA's training is then counted too."""
    surrogate: SurrogateSettings = SurrogateSettings()

    @property
    def candidates(self) -> int:
        return self.n

    @property
    def training(self) -> Training | None:
        return self.queries_of

    @model_validator(mode="after")
    def _one_budget(self) -> BestOfNSettings:
        of = self.queries_of
        if of is not None and (of.labels, of.per_round) != (self.labels, self.per_round):
            raise ValueError(
                f"queries_of: labels and per_round are those of the method ({self.labels} and {self.per_round}); "
                "give them here as well, or nowhere"
            )
        return self


BEST_OF_N = Declaration(
    BestOfNSettings, "papa.methods.best_of_n.method:BestOfN", "rejection by a reward model, a standard", draws="picked"
)
