"""A reward model on PAPA's labels: PAPA asks and learns, and a surrogate picks among base samples."""

from __future__ import annotations

from typing import Any

from papa.feedback import Feedback, Query
from papa.methods.best_of_n.method import BestOfN
from papa.methods.papa.method import Papa
from papa.methods.reward_model import RewardModelSettings


class RewardModel(BestOfN[RewardModelSettings]):
    """Best of n that learns from PAPA's queries. PAPA uses the same streams, so it shows the same items as alone."""

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
        self.papa.beforehand = 1  # `learn` tells it
        super().begin(query, feedback)

    def learn(self, query: Query, feedback: Feedback) -> None:
        super().learn(query, feedback)
        self.papa.tell(query, feedback)

    def state(self) -> dict[str, Any]:
        return super().state() | {"papa": self.papa.state()}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.papa.restore(state["papa"])
