"""Oracle mixtures: base samples with a given number of likes, and the value of diversity measures on them.

A method that raises the preference generates fewer kinds of images, so its samples are closer to each other even if it
is perfect. A model tilted exactly to a yes-or-no taste generates such a mixture, at any preference.
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
"""Mixtures that a measure of one request is averaged over."""
MOST = 1024
"""Base samples of a kind (liked or not) for mean distances: half a million pairs."""


@dataclass(frozen=True)
class RequestMeasure:
    """A measure of the images of one request: (n, d) points, or features, -> value; `least` for copies of one image."""

    measure: Callable[[Tensor], float]
    unit: str
    on_features: bool = False
    least: float = 0.0


REQUEST = {
    "served_distance": RequestMeasure(pairwise_distance, ""),
    "served_vendi": RequestMeasure(vendi_score, "images", on_features=True, least=1.0),
    "served_nearest": RequestMeasure(lambda points: float(nearest_distances(points).mean()), ""),
}
"""The measures of one request that are compared with an oracle mixture."""


class Pool:
    """Base samples, split by whether a user likes them, and mixtures of them.

    Users with a reward in nats have no mixture: nothing is liked or disliked.
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
        """Mean distance of two liked samples, of two others, and of one of each."""
        of = {kind: self.points[torch.from_numpy(found[:MOST])] for kind, found in self._of.items()}
        mixed = float(torch.cdist(of[True], of[False]).mean()) if all(map(len, of.values())) else float("nan")
        within = {(kind, kind): pairwise_distance(points) for kind, points in of.items()}
        return within | {(True, False): mixed}

    def liked_distance(self) -> float:
        """Mean distance of two liked base samples."""
        return self._distances[True, True]

    def distance(self, n: int, k: int) -> float:
        """Expected mean distance of n images with k likes, in closed form over the pairs; NaN without such pairs."""
        pairs = {
            (True, True): k * (k - 1) / 2,
            (False, False): (n - k) * (n - k - 1) / 2,
            (True, False): k * (n - k),
        }
        return sum(count * self._distances[pair] for pair, count in pairs.items() if count) / (n * (n - 1) / 2)

    def mean(self, n: int, k: int, measure: str) -> float:
        """Mean of a measure over mixtures of n base samples with k likes; NaN with too few base samples of a kind."""
        if not self.scored or k > len(self._of[True]) or n - k > len(self._of[False]):
            return float("nan")
        if (n, k, measure) not in self._means:
            rng = self._bench.stream.at("mix", *self._address, n=n, liked=k).generator()
            mixes = [
                np.concatenate([rng.choice(self._of[True], k, False), rng.choice(self._of[False], n - k, False)])
                for _ in range(MIXES)
            ]
            for name, of in REQUEST.items():
                points = self.features if of.on_features else self.points
                values = [of.measure(points[torch.from_numpy(chosen)]) for chosen in mixes]
                self._means[n, k, name] = float(np.mean(values))
        return self._means[n, k, measure]
