"""PPD as a warm start: the first round's pairs describe the person; another method goes on from the model they make.

What that method takes for its base (its anchor, its first samples, its particles' proposals) is the personal model. The
labels of the first round count as all others do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from papa.feedback import Feedback, Query
from papa.methods.fkc.method import Fkc
from papa.methods.interface import Method
from papa.methods.papa.method import Papa
from papa.methods.ppd.method import OfPairs


class WarmStart(OfPairs[Any]):
    """A method that starts from the personal model.

    Attributes: goes_on: the method, with the same settings. inner: the same, from the first answers on.
    """

    goes_on: Callable[..., Method[Any]]
    inner: Method[Any] | None = None

    def ask(self, k: int) -> Query:
        return self.base_query(k) if self.inner is None else self.inner.ask(k)

    def check(self, query: Query, feedback: Feedback) -> None:
        super().check(query, feedback) if self.inner is None else self.inner.check(query, feedback)

    def learn(self, query: Query, feedback: Feedback) -> None:
        if self.inner is not None:
            self.inner.tell(query, feedback)
            return
        self.chosen.add(query, feedback)
        self._start()

    def _start(self) -> None:
        """Begin the method that goes on; it adds to the cost of this one."""
        model = self.told.conditioned_on(self.described())
        self.inner = self.goes_on(self.settings, model, self.stream.at("warm"), None, self.oracle)
        self.inner.cost = self.cost

    def sample(self, n: int) -> Tensor:
        return self.base_latents(n) if self.inner is None else self.inner.sample(n)

    def aligned(self) -> nn.Module:
        return super().aligned() if self.inner is None else self.inner.aligned()

    def diagnostics(self) -> dict[str, float]:
        return super().diagnostics() | ({} if self.inner is None else self.inner.diagnostics())

    def trace(self) -> list[dict[str, float]]:
        return [] if self.inner is None else self.inner.trace()

    def state(self) -> dict[str, Any]:
        return super().state() | {"inner": None if self.inner is None else self.inner.state()}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        if state["inner"] is not None:
            self._start()
            assert self.inner is not None
            self.inner.restore(state["inner"])


class WarmPapa(WarmStart):
    """PAPA from the personal model."""

    goes_on = Papa


class WarmFkc(WarmStart):
    """FKC from the personal model."""

    goes_on = Fkc
