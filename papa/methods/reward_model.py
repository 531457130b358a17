"""A reward model on PAPA's labels: PAPA asks and learns, and a surrogate picks among base samples."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from papa.feedback import Feedback, Query
from papa.methods.best_of_n import BestOfN, BestOfNSettings
from papa.methods.declaration import Declaration
from papa.methods.papa import Papa, PapaSettings


class RewardModelSettings(BestOfNSettings):
    """Best of n by a surrogate of PAPA's queries; PAPA's training is counted as this method's."""

    papa: PapaSettings = PapaSettings()
    """PAPA's settings; labels and per_round are this method's."""

    @model_validator(mode="after")
    def _papa_asks(self) -> RewardModelSettings:
        if self.surrogate.query != "own":
            raise ValueError("surrogate.query: this method shows PAPA's queries; take best_of_n for another query")
        return self

    @property
    def asker(self) -> PapaSettings:
        """PAPA's settings with the budget of this method."""
        return self.papa.model_copy(update={"labels": self.labels, "per_round": self.per_round})

    @property
    def cannot_begin(self) -> str | None:
        return self.papa.cannot_begin

    @property
    def training(self) -> PapaSettings:
        return self.papa


class RewardModel(BestOfN[RewardModelSettings]):
    """Best of n that learns from PAPA's queries. PAPA uses the same streams, so it asks what it would ask alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.papa = Papa(self.settings.asker, self.model, self.stream, self._base)
        self.papa.cost = self.cost

    @property
    def asks_the_base(self) -> bool:
        return self.papa.asks_the_base

    def ask(self, k: int) -> Query:
        return self.papa.ask(k)

    def begin(self, query: Query, feedback: Feedback) -> None:
        self.papa.beforehand = 1
        super().begin(query, feedback)

    def learn(self, query: Query, feedback: Feedback) -> None:
        super().learn(query, feedback)
        self.papa.tell(query, feedback)


REWARD_MODEL = Declaration(
    RewardModelSettings,
    RewardModel,
    "rejection by a reward model, on the labels of PAPA (arXiv 2607.00486)",
    draws="picked",
    uses=("papa.methods.best_of_n", "papa.methods.papa"),
)
