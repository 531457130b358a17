"""A population of simulated members with graded, partly shared tastes.

A taste is a weight for every value of every attribute of an image: those of one of a few shared tastes plus an
individual part. Some members have two tastes and like what satisfies either. Choices between two images follow the
Bradley-Terry model with ties (Davidson 1970), at a temperature in standard deviations of the utility:

    P(a over b) = e_a / (e_a + e_b + nu sqrt(e_a e_b)),      P(tie) = nu sqrt(e_a e_b) / (...),      e = exp(U / tau)

A member is determined by its number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from papa.rng import Stream

SEEN, UNSEEN, TUNING = 300, 100, 40
"""Members for training an adapter, for testing it, and for tuning its settings."""
SPLITS = {
    "seen": range(SEEN),
    "unseen": range(SEEN, SEEN + UNSEEN),
    "tuning": range(SEEN + UNSEEN, SEEN + UNSEEN + TUNING),
}
"""Numbers of the members of each part of the population."""
OFFLINE = 96
"""Training pairs of each member, including those used as conditioning."""
SHARED = 8
"""Shared tastes."""
OWN = 0.6
"""Standard deviation of the individual part, relative to a shared taste."""
TEMPERATURES = {"consistent": 0.25, "noisy": 0.7}
TWO = 0.25
"""Share of the members with two tastes."""
NU = 0.3
"""Davidson's tie parameter: 13% ties between images of equal utility."""
IMPORTANCE = {"kind": 1.5, "colour": 1.0, "background": 1.0, "count": 0.7, "size": 0.7}
"""Standard deviation of the weights of an attribute; 1 if not listed."""

Values = Mapping[str, Sequence[str]]
"""Attribute -> its values."""
Weights = dict[str, np.ndarray]
"""Attribute -> (values,) weights."""


@dataclass(frozen=True)
class Person:
    """A member. tastes: one or two. temperature: tau, in standard deviations of the utility."""

    number: int
    tastes: tuple[Weights, ...]
    temperature: float
    consistent: bool

    @property
    def varied(self) -> bool:
        """Whether there are two tastes."""
        return len(self.tastes) > 1

    @property
    def split(self) -> str:
        """The part of the population."""
        return next(name for name, numbers in SPLITS.items() if self.number in numbers)

    def utility(self, shares: Mapping[str, np.ndarray]) -> np.ndarray:
        """(n,) utility of images, by the better taste. shares: attribute -> (n, values) probabilities."""
        return np.max([np.sum([shares[name] @ w for name, w in taste.items()], 0) for taste in self.tastes], 0)

    def choose(self, first: np.ndarray, second: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Choices between images by Bradley-Terry with ties.

        Args:
            first: (n,) utilities of the first images, in standard deviations.
            second: (n,) utilities of the second images.
            uniform: (n,) uniform numbers in [0, 1).

        Returns:
            (n,) float64: 1 for the first, 0 for the second, 0.5 for a tie.
        """
        half = (first - second) / (2 * self.temperature)
        a, b = np.exp(np.clip(half, -300, 300)), np.exp(np.clip(-half, -300, 300))
        total = a + b + NU
        return np.where(uniform < a / total, 1.0, np.where(uniform < (a + b) / total, 0.0, 0.5))


def standardized(utility: np.ndarray) -> np.ndarray:
    """(n,) utilities in standard deviations over these images."""
    return (utility - utility.mean()) / utility.std()


class Population:
    """All members over one set of attributes, from one random stream."""

    def __init__(self, values: Values, stream: Stream | None = None) -> None:
        self.values, self._stream = values, stream or Stream(2026).at("population")

    def _weights(self, stream: Stream, scale: float) -> Weights:
        """Weights of mean zero over the values of each attribute."""
        found = {}
        for name, values in self.values.items():
            w = stream.at(name).normal(len(values), dtype=np.float64)
            found[name] = scale * IMPORTANCE.get(name, 1.0) * (w - w.mean())
        return found

    @cache  # noqa: B019 - one population lives as long as its process
    def person(self, number: int) -> Person:
        """The member of a number."""
        stream = self._stream.at(person=number)
        chance = stream.at("sort").uniform(3)
        shared = stream.at("shared").generator().choice(SHARED, 2, replace=False)
        tastes = []
        for place, which in enumerate(shared[: 2 if chance[0] < TWO else 1]):
            common = self._weights(self._stream.at("shared", taste=int(which)), 1.0)
            own = self._weights(stream.at("own", taste=place), OWN)
            tastes.append({name: common[name] + own[name] for name in common})
        consistent = bool(chance[1] < 0.5)
        temperature = TEMPERATURES["consistent" if consistent else "noisy"]
        return Person(number, tuple(tastes), temperature, consistent)
