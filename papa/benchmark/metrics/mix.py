"""The perfect mix: base samples of which as many are liked as of a run's own, and what measures give for it.

A method that draws more of what is liked draws from fewer kinds, so its samples come closer to each other even where
it does everything right. A model tilted exactly to a yes-or-no taste draws such a mix, at any preference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.metrics.interface import Bench
from papa.benchmark.metrics.spread import nearest_distances, pairwise_distance, vendi_score
from papa.benchmark.users.interface import User

MIXES = 16
"""Mixes of base samples that a measure of one request is compared with the mean of."""
MOST = 1024
"""Base samples of a kind (liked or not) whose mean distances are taken: half a million pairs."""


@dataclass(frozen=True)
class RequestMeasure:
    """A measure of the images of one request. on_features: of the feature network's, else in the task's space. least:
    its value for copies of one image."""

    measure: Callable[[Tensor], float]
    unit: str
    on_features: bool = False
    least: float = 0.0


REQUEST = {
    "served_distance": RequestMeasure(pairwise_distance, ""),
    "served_vendi": RequestMeasure(vendi_score, "images", on_features=True, least=1.0),
    "served_nearest": RequestMeasure(lambda points: float(nearest_distances(points).mean()), ""),
}
"""The measures of one request that are compared with a perfect mix's."""


class Pool:
    """Base samples by whether a user likes them, and mixes of them.

    A user with an exact reward in nats likes and dislikes nothing: there is no mix then.
    """

    def __init__(self, bench: Bench, user: User, base: Tensor, address: tuple[str, ...]) -> None:
        self._bench, self._address = bench, address
        self.base = base
        self.scored = user.exact is None
        verdict = user.verdict(base) > 0.5 if self.scored else np.zeros(len(base), dtype=bool)
        self._of = {True: np.flatnonzero(verdict), False: np.flatnonzero(~verdict)}
        self._means: dict[tuple[int, int, str], float] = {}

    @cached_property
    def points(self) -> Tensor:
        return self._bench.points(self.base)

    @cached_property
    def features(self) -> Tensor:
        return self._bench.embedded(self.base)

    @cached_property
    def _distances(self) -> dict[tuple[bool, bool], float]:
        """Mean distance of two liked ones, of two others, and of one of each."""
        of = {kind: self.points[torch.from_numpy(found[:MOST])] for kind, found in self._of.items()}
        mixed = float(torch.cdist(of[True], of[False]).mean()) if all(map(len, of.values())) else float("nan")
        return {
            (True, True): pairwise_distance(of[True]),
            (False, False): pairwise_distance(of[False]),
            (True, False): mixed,
        }

    def liked_distance(self) -> float:
        """Mean distance of two liked base samples."""
        return self._distances[True, True]

    def distance(self, n: int, k: int) -> float:
        """Expected mean distance of n images of which k are liked, in closed form over the pairs; NaN without such."""
        pairs = {
            (True, True): k * (k - 1) / 2,
            (False, False): (n - k) * (n - k - 1) / 2,
            (True, False): k * (n - k),
        }
        return sum(count * self._distances[pair] for pair, count in pairs.items() if count) / (n * (n - 1) / 2)

    def mean(self, n: int, k: int, measure: str) -> float:
        """Mean of a measure of one request over mixes of n base samples of which k are liked.

        NaN where the base samples have not as many of both.
        """
        if not self.scored or k > len(self._of[True]) or n - k > len(self._of[False]):
            return float("nan")
        if (n, k, measure) not in self._means:
            rng = self._bench.stream.at("mix", *self._address, n=n, liked=k).generator()
            drawn = [
                np.concatenate([rng.choice(self._of[True], k, False), rng.choice(self._of[False], n - k, False)])
                for _ in range(MIXES)
            ]
            for name, of in REQUEST.items():
                points = self.features if of.on_features else self.points
                values = [of.measure(points[torch.from_numpy(chosen)]) for chosen in drawn]
                self._means[n, k, name] = float(np.mean(values))
        return self._means[n, k, measure]
