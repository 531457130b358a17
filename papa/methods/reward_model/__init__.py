"""A reward model on PAPA's labels: PAPA asks, a surrogate learns from the answers, and best of n draws."""

from __future__ import annotations

from pydantic import model_validator

from papa.methods.best_of_n import BestOfNSettings
from papa.methods.declaration import Declaration, Training
from papa.methods.papa import PapaSettings


class RewardModelSettings(BestOfNSettings):
    """Best of n by a surrogate that learned from the labels of what PAPA shows.

    Choosing what to show takes PAPA's training, which is counted as this method's.
    """

    papa: PapaSettings = PapaSettings()
    """PAPA's settings; labels and per_round are this method's."""

    @model_validator(mode="after")
    def _papa_asks(self) -> RewardModelSettings:
        if self.surrogate.query != "own":
            raise ValueError("surrogate.query: what is shown here is what PAPA shows; take best_of_n for another query")
        return self

    @property
    def asker(self) -> PapaSettings:
        """PAPA's settings with the budget of this method."""
        return self.papa.model_copy(update={"labels": self.labels, "per_round": self.per_round})

    @property
    def cannot_begin(self) -> str | None:
        return self.papa.cannot_begin

    @property
    def training(self) -> Training:
        return self.papa


REWARD_MODEL = Declaration(
    RewardModelSettings,
    "papa.methods.reward_model.method:RewardModel",
    "rejection by a reward model, on the labels of PAPA (arXiv 2607.00486)",
    draws="picked",
)
