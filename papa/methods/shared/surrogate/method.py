"""What methods with a surrogate share: the answers, the surrogate, what is shown next, the record."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import Tensor

from papa.errors import SettingsError
from papa.feedback import Query
from papa.methods.declaration import MethodSettings
from papa.methods.interface import Method
from papa.methods.shared.labelled import Labelled
from papa.methods.shared.surrogate import SurrogateSettings
from papa.methods.shared.surrogate.choice import surrogate_of
from papa.methods.shared.surrogate.interface import Known
from papa.methods.shared.surrogate.queries import Pool
from papa.rng import Stream

W = TypeVar("W", bound=MethodSettings)
"""Settings that have a surrogate's among them, `surrogate`."""


class WithSurrogate(Method[W]):
    """A method whose surrogate learns from all answers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.given: SurrogateSettings = getattr(self.settings, "surrogate")  # noqa: B009
        if self.asks_from_the_pool and self.given.pool < self.settings.labels:
            raise SettingsError(
                f"surrogate.pool: {self.given.pool} base samples are fewer than the {self.settings.labels} labels, and "
                "none is shown twice; raise it."
            )
        self.seen = Labelled()
        known = Known(self.model, self.stream.at("surrogate"), self.base_latents, lambda: self.cost)
        self.surrogate = surrogate_of(self.given, known)
        self.pool = Pool(self.given, self.base_draw, self.stream.at("pool"))

    def base_draw(self, n: int, stream: Stream) -> Tensor:
        """n base samples of another stream."""
        return self.draw(self.model.denoiser(self.cost), n, stream)

    @property
    def asks_from_the_pool(self) -> bool:
        """Whether what is shown is chosen among base samples by what the surrogate knows."""
        return self.given.query != "own"

    @property
    def asks_the_base(self) -> bool:
        return not self.asks_from_the_pool

    def ask(self, k: int) -> Query:
        """Base samples: fresh ones, or items of the pool."""
        return self.from_the_pool(k) if self.asks_from_the_pool else self.base_query(k)

    def from_the_pool(self, k: int) -> Query:
        """The next items of the pool."""
        stream = self.stream.at("ask", round=self.round)
        items = self.pool.choose(self.surrogate, self.seen, k, stream)
        return Query(items, self.condition(len(items)))

    def fit(self) -> float:
        """Fit the surrogate to all answers; returns its mean squared error."""
        stream = self.stream.at("surrogate", "fit", round=self.round)
        return self.surrogate.fit(self.seen.latents, self.seen.preference, stream)

    def state(self) -> dict[str, Any]:
        return super().state() | {"seen": self.seen.state(), "surrogate": self.surrogate.state()}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.seen.restore(state["seen"])
        self.surrogate.restore(state["surrogate"])
