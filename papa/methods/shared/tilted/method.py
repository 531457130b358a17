"""Methods that leave the model's weights as they are and tilt the base by a reward while they sample.

A surrogate learns the user's preference; the first round shows base samples, later ones what is drawn with the inverse
temperature of the round, and the final samples are drawn with that of the last one.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from papa.diffusion.sampler import Noise, stream_noise
from papa.feedback import Feedback, Query
from papa.methods.shared.surrogate.method import WithSurrogate
from papa.methods.shared.tilted import ParticleSettings, TiltedSettings
from papa.rng import Stream
from papa.smc.population import Particles, Trace

T = TypeVar("T", bound=TiltedSettings)
N = TypeVar("N", bound=ParticleSettings)


class Tilted(WithSurrogate[T]):
    """What all of them share: the schedule over the rounds, the reward, the record."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._values: dict[str, float] = {}
        self._trace: list[dict[str, float]] = []

    # ------------------------------------------------------------ schedules and the reward

    def along_rounds(self, first: float, last: float) -> float:
        """Linear over the tilted rounds 1..H-1."""
        tilted = max(1, self.rounds - 2)
        return first + (last - first) * min(1.0, max(0, self.round - 1) / tilted)

    @property
    def tilted(self) -> bool:
        """Whether there is anything to tilt by: labels, or the control's true preference."""
        return self.round > 0 or self.settings.reward == "true"

    def preference(self, z: Tensor) -> Tensor:
        """(n,) reward of (n, ...) clean points: the surrogate, or the true preference."""
        return self.oracle(self.model.decode(z)) if self.oracle is not None else self.surrogate(z)

    def noise(self, stream: Stream, n: int) -> Noise:
        """Noise of n slots."""
        return stream_noise(stream, (n, *self.model.shape), self.model.dtype, self.model.device)

    @property
    def asks_the_base(self) -> bool:
        return False

    def ask(self, k: int) -> Query:
        self._trace = []
        if self.asks_from_the_pool or not self.tilted:
            return super().ask(k)
        return Query(self.own(k, self.stream.at("ask", round=self.round)), self.condition(k))

    @abstractmethod
    def own(self, k: int, stream: Stream) -> Tensor:
        """k items that the method draws to be shown."""

    # ------------------------------------------------------------ learning and the record

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        if self.settings.reward == "surrogate":
            self._values["surrogate_mse"] = self.fit()

    def keep(self, trace: Trace, **more: float) -> None:
        """The steps of the latest draw, for the record."""
        self._trace = [row | more for row in trace.rows()]

    def diagnostics(self) -> dict[str, float]:
        return dict(self._values)

    def trace(self) -> list[dict[str, float]]:
        """A row for each step of the latest population (of `sample`: means over its populations)."""
        return [dict(row) for row in self._trace]


class Populations(Tilted[N]):
    """Those whose samples are particles of populations."""

    @abstractmethod
    def population(self, populations: int, strengths: dict[str, float], stream: Stream) -> Particles:
        """Populations of N particles, equally weighted, tilted by exp(beta u)."""

    def strengths(self, last: bool) -> dict[str, float]:
        """The inverse temperature beta of this round, or of the last one."""
        settings = self.settings
        return {"beta": settings.beta_max if last else self.along_rounds(settings.beta_min, settings.beta_max)}

    def uniforms(self, stream: Stream, step: int, populations: int) -> Tensor:
        """(P, N) in [0, 1) for the resampling of a step."""
        drawn = stream.at("resampling", step=step).uniform(populations, self.settings.particles)
        return torch.from_numpy(drawn).to(self.model.device)

    def own(self, k: int, stream: Stream) -> Tensor:
        strengths = self.strengths(last=False)
        result = self.population(1, strengths, stream)
        self._values = strengths | self.summary(result)
        chosen = distinct_first(result.parents[0], result.ancestors[0], k, stream.at("chosen"))
        return result.samples[chosen]

    def summary(self, result: Particles) -> dict[str, float]:
        """How a population fared."""
        return {
            "ess": result.trace.ess[-1],
            "lowest_ess": min(result.trace.lowest_ess),
            "unique_ancestors": result.trace.unique_ancestors[-1],
            "reward": result.trace.reward[-1],
            "log_z": result.log_z.mean().item(),
        }

    def sample(self, n: int) -> Tensor:
        """n particles of P = ceil(n / N) populations; sample i is one of population i mod P.

        Which particle of it is chosen at random: resampling leaves the slots sorted by ancestor, so a particle's
        distribution depends on its slot, and only that of a random slot is the population's.
        """
        self._trace = []
        if not self.tilted:
            return self.base_latents(n)
        populations, stream = -(-n // self.settings.particles), self.stream.at("sample")
        result = self.population(populations, self.strengths(last=True), stream)
        return result.samples[dealt(populations, self.settings.particles, stream.at("slots"))[:n]]


def dealt(populations: int, n: int, stream: Stream) -> Tensor:
    """(P N,) int64 particles, one of each population in turn, within a population in random order."""
    order = stream.generator().permuted(np.tile(np.arange(n), (populations, 1)), axis=1)
    return torch.from_numpy((order + n * np.arange(populations)[:, None]).T.flatten())


def distinct_first(parents: Tensor, ancestors: Tensor, k: int, stream: Stream) -> Tensor:
    """k uniform draws of the particles: distinct points first, and among them distinct ancestors first.

    Args:    parents, ancestors: (N,) as in `papa.smc.fkc.Particles`.
    Returns: (k,) int64 slots.
    """
    order = stream.generator().permutation(len(parents))
    repeat = _how_manieth(parents.cpu().numpy()[order])
    relative = _how_manieth(ancestors.cpu().numpy()[order])
    return torch.from_numpy(order[np.lexsort((relative, repeat))][:k].copy())


def _how_manieth(values: np.ndarray) -> np.ndarray:
    """For each entry, how many equal ones stand before it."""
    return np.array([np.count_nonzero(values[:i] == value) for i, value in enumerate(values)])
