"""Methods that tilt the base by a reward while they sample; the model's weights do not change.

A surrogate learns the user's preference. The first round shows base samples, later rounds show samples at the inverse
temperature of the round, and the final samples have that of the last round.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal, TypeVar, cast

import numpy as np
from pydantic import Field

from papa.feedback import Feedback, Query
from papa.methods._lazy import Particles, Tensor, torch
from papa.methods._surrogate import Surrogate, SurrogateSettings
from papa.methods.declaration import MethodSettings
from papa.methods.interface import Method
from papa.rng import Stream
from papa.settings import NonNegative


class TiltedSettings(MethodSettings):
    """The inverse temperature along the rounds, and the reward."""

    dial: ClassVar = "beta_max"

    beta_min: NonNegative = 0.5
    """Inverse temperature beta_h of the first tilted round."""
    beta_max: NonNegative = 2.0
    """Inverse temperature of the last round and of the final samples."""
    reward: Literal["surrogate", "true"] = "surrogate"
    """The reward. `true` is a control with the user's true preference."""
    surrogate: SurrogateSettings = SurrogateSettings()

    @property
    def needs_oracle(self) -> bool:
        return self.reward == "true"


class ParticleSettings(TiltedSettings):
    """Settings of methods with interacting particles."""

    particles: Annotated[int, Field(ge=2, le=10**6)] = 32
    """Particles N of one population."""

    @property
    def true_tilt(self) -> float | None:
        return self.beta_max if self.needs_oracle else None


T = TypeVar("T", bound=TiltedSettings)


class Tilted(Method[T]):
    """The base tilted by exp(beta u). A method without interacting particles overrides `shown` and `sample`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.surrogate = Surrogate(self, self.settings.surrogate)
        self._values: dict[str, float] = {}
        self._trace: list[dict[str, float]] = []

    @abstractmethod
    def population(self, populations: int, last: bool, stream: Stream) -> Particles:
        """Equally weighted populations of N particles, tilted as in this round or as in the last one."""

    def along_rounds(self, first: float, end: float, last: bool) -> float:
        """Linear over the tilted rounds 1..H-1; `end` for the last one."""
        if last:
            return end
        tilted = max(1, self.rounds - 2)
        return first + (end - first) * min(1.0, max(0, self.round - 1) / tilted)

    def beta(self, last: bool) -> float:
        """Inverse temperature of this round, or of the last one."""
        return self.along_rounds(self.settings.beta_min, self.settings.beta_max, last)

    @property
    def tilted(self) -> bool:
        """Whether there is a reward: labels, or the control's true preference."""
        return self.round > 0 or self.settings.reward == "true"

    def preference(self, z: Tensor) -> Tensor:
        """(n,) reward of (n, ...) clean points."""
        return self.oracle(self.model.decode(z)) if self.oracle is not None else self.surrogate(z)

    def ask(self, k: int) -> Query:
        self._trace = []
        if self.surrogate.from_pool or not self.tilted:
            return self.surrogate.ask(k)
        return Query(self.shown(k, self.stream.at("ask", round=self.round)), self.condition(k))

    def shown(self, k: int, stream: Stream) -> Tensor:
        """k samples of this round."""
        result = self.population(1, False, stream)
        trace = result.trace
        self._values = {"beta": self.beta(last=False)} | self.extra_strengths(last=False)
        self._values |= {
            "ess": trace.ess[-1],
            "lowest_ess": min(trace.lowest_ess),
            "unique_ancestors": trace.unique_ancestors[-1],
            "reward": trace.reward[-1],
            "log_z": result.log_z.mean().item(),
        }
        return result.samples[distinct_first(result.parents[0], result.ancestors[0], k, stream.at("chosen"))]

    def extra_strengths(self, last: bool) -> dict[str, float]:
        return {}

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.surrogate.seen.add(query, feedback)
        if self.settings.reward == "surrogate":
            self._values["surrogate_mse"] = self.surrogate.fit()

    def sample(self, n: int) -> Tensor:
        """n particles of P = ceil(n / N) populations; sample i is from population i mod P.

        The particle is random: resampling leaves the slots sorted by ancestor, so a particle's distribution depends on
        its slot, and only that of a random slot is the population's.
        """
        self._trace = []
        if not self.tilted:
            return self.base_latents(n)
        populations, stream = -(-n // self.particles), self.stream.at("sample")
        result = self.population(populations, True, stream)
        return result.samples[round_robin(populations, self.particles, stream.at("slots"))[:n]]

    @property
    def particles(self) -> int:
        return cast("ParticleSettings", self.settings).particles

    def uniforms(self, stream: Stream, populations: int) -> Any:
        """Step -> (P, N) in [0, 1), for its resampling."""

        def uniforms(step: int) -> Tensor:
            drawn = stream.at("resampling", step=step).uniform(populations, self.particles)
            return torch.from_numpy(drawn).to(self.model.device)

        return uniforms

    def diagnostics(self) -> dict[str, float]:
        return dict(self._values)

    def trace(self) -> list[dict[str, float]]:
        return [dict(row) for row in self._trace]


def round_robin(populations: int, n: int, stream: Stream) -> Tensor:
    """(P N,) int64 particles, one of each population in turn, in random order within a population."""
    order = stream.generator().permuted(np.tile(np.arange(n), (populations, 1)), axis=1)
    return torch.from_numpy((order + n * np.arange(populations)[:, None]).T.flatten())


def distinct_first(parents: Tensor, ancestors: Tensor, k: int, stream: Stream) -> Tensor:
    """(k,) int64 slots of uniform particles: distinct points first, and among them distinct ancestors first."""
    order = stream.generator().permutation(len(parents))
    repeat = _occurrence_index(parents.cpu().numpy()[order])
    relative = _occurrence_index(ancestors.cpu().numpy()[order])
    return torch.from_numpy(order[np.lexsort((relative, repeat))][:k].copy())


def _occurrence_index(values: np.ndarray) -> np.ndarray:
    """For each entry, the number of equal entries before it."""
    return np.array([np.count_nonzero(values[:i] == value) for i, value in enumerate(values)])
