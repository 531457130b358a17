"""How different the samples are from each other, against a perfect mix at the same preference.

A method that draws more of what is liked draws from fewer kinds, so its samples come closer to each other even where
it does everything right. What a run is compared with is therefore a mix of base samples: as many of them liked as of
the run's own samples are, and the others not. A model tilted exactly to the user's liking has a ratio of 1 at any
preference.

A mean over pairs hardly sees near copies: 32 images of four ancestors keep most of it. So there are three sorts of
measures: over all final samples, within what is liked, and within one request (`served`), as a person is served.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.stats import entropy
from torch import Tensor

from papa.benchmark.metrics.interface import Bench, Metric, Row, RunView
from papa.benchmark.users.interface import AnyUser

PARTICLES = ("ess", "lowest_ess", "unique_ancestors")
MIXES = 16
"""Mixes of base samples that a measure of one request is compared with the mean of."""
MOST = 1024
"""Base samples of a kind (liked or not) whose mean distances are taken: half a million pairs."""


class Diversity(Metric):
    """Distances are those of the task's own space (pixels or features). *_ratio: over a perfect mix's.

    A graded taste is taken for a yes-or-no one here (liking above one half), so an exact tilt is not at exactly 1.

    Of all final samples: distance: mean of two images. vendi: effective number of images (Friedman & Dieng 2023).
    coverage: share of the preferred real images with a sample among their 5 nearest neighbours' radius (Naeem et al.
    2020). entropy: of the preferred classes, as a share of its maximum.
    Within what is liked by the labelling judge: liked_distance: mean of two images; its ratio is over the base's.
    Within one request, after every round and in the end: served_distance, served_vendi, served_nearest: mean distance
    to the nearest other image. The ratio of served_vendi is less the one image that any request has, on both sides: of
    copies of one image it is 0. served_unique: different images. served_copies: share of images with another one nearer
    than a quarter of what a perfect mix's nearest neighbour is away.
    ess, lowest_ess, unique_ancestors: of particle methods, of each round's population (at its last step, lowest_ess
    along all of them), and for the final samples the means over their populations."""

    def __init__(self) -> None:
        self._pools: dict[tuple[Any, Any], Pool] = {}

    def measure(self, run: RunView) -> list[Row]:
        pool = self.pool(run)
        rows = [
            Row(name, value, unit, index, stage)
            for index, stage, images in run.requests()
            for name, value, unit in served(run, pool, images)
        ]
        if "final" in run.images:
            rows += final(run, pool) + liked(run, pool) + kinds(run)
        return rows + particles(run)

    def pool(self, run: RunView) -> Pool:
        """The base samples of a user and seed; all methods are compared with the same."""
        key = (run.meta.user, run.meta.seed)
        if key not in self._pools:
            self._pools[key] = Pool(run.bench, run.user, run.base, (*map(str, key),))
        return self._pools[key]


# ---------------------------------------------------------------- what a perfect method would draw from


class Pool:
    """Base samples by whether a user likes them, and mixes of them.

    A user with an exact reward in nats likes and dislikes nothing: there is no mix then.
    """

    def __init__(self, bench: Bench, user: AnyUser, base: Tensor, address: tuple[str, ...]) -> None:
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


# ---------------------------------------------------------------- within one request


@dataclass(frozen=True)
class RequestMeasure:
    """A measure of the images of one request. on_features: of the feature network's, else in the task's space. least:
    its value for copies of one image."""

    measure: Callable[[Tensor], float]
    unit: str
    on_features: bool = False
    least: float = 0.0


def served(run: RunView, pool: Pool, images: Tensor) -> list[tuple[str, float, str]]:
    """(name, value, unit) of the images of one request; what there is no mix to compare with is NaN."""
    n = len(images)
    if n < 2:
        return []
    points = run.bench.points(images)
    found = [("served_unique", float(len(images.flatten(1).unique(dim=0))), "images")]
    k = int((run.user.verdict(images) > 0.5).sum()) if pool.scored else 0
    for name, of in REQUEST.items():
        value = of.measure(run.bench.embedded(images) if of.on_features else points)
        mix = pool.mean(n, k, name)
        found.append((name, value, of.unit))
        if pool.scored:
            found.append((f"{name}_ratio", (value - of.least) / (mix - of.least), "share of a perfect mix's"))
    if pool.scored:
        near = pool.mean(n, k, "served_nearest") / 4
        copies = float((nearest_distances(points) < near).double().mean()) if near > 0 else float("nan")
        found.append(("served_copies", copies, "share"))
    return found


# ---------------------------------------------------------------- over all final samples


def final(run: RunView, pool: Pool) -> list[Row]:
    """Distances, the effective number and coverage of the first final samples.

    The last two grow with the number of samples, so they are left out where a method has fewer than the others.
    """
    images = run.images["final"][: run.bench.measures.diversity]
    if (n := len(images)) < 2:
        return []
    distance = pairwise_distance(run.bench.points(images))
    rows = [Row("distance", distance, "", run.last)]
    if pool.scored:
        k = int((run.user.verdict(images) > 0.5).sum())
        rows.append(Row("distance_ratio", distance / pool.distance(n, k), "share of a perfect mix's", run.last))
    if run.bench.features is None or n < run.bench.measures.diversity:
        return rows
    features = run.bench.embedded(images)
    rows.append(Row("vendi", vendi_score(features), "images", run.last))
    references, classes = run.bench.references, run.user.classes
    if classes is not None and references is not None:
        preferred = run.bench.reference_features[torch.from_numpy(np.isin(references.labels, classes))]
        rows.append(Row("coverage", coverage(preferred, features), "share", run.last))
    return rows


def kinds(run: RunView) -> list[Row]:
    """How evenly the preferred classes are drawn."""
    classes = run.user.classes
    if classes is None or len(classes) < 2 or "gold" not in run.bench.judges:
        return []
    decided = run.bench.judges["gold"].probabilities(run.images["final"][: run.bench.measures.diversity]).argmax(1)
    counts = np.array([(decided == c).sum() for c in classes], dtype=float)
    share = entropy(counts) / np.log(len(classes)) if counts.sum() else float("nan")
    return [Row("entropy", float(share), "share of maximum", run.last)]


def liked(run: RunView, pool: Pool) -> list[Row]:
    """Mean distance of two liked final samples, and over that of two liked base samples; none without two of both."""
    images = run.images["final"]
    if not pool.scored:
        return []
    found = images[torch.from_numpy(run.user.verdict(images) > 0.5)][: run.bench.measures.diversity]
    base = pool.liked_distance()
    if len(found) < 2 or not base > 0:
        return []
    own = pairwise_distance(run.bench.points(found))
    return [
        Row("liked_distance", own, "", run.last),
        Row("liked_distance_ratio", own / base, "share of the base's", run.last),
    ]


def particles(run: RunView) -> list[Row]:
    """The values of particle methods: of each round from its record, of the final samples from their trace."""
    rows = [
        Row(name, float(line[name]), "particles", int(line["round"]), "round")
        for line in run.rounds
        for name in PARTICLES
        if line.get(name)
    ]
    steps = [line for line in run.trace if line["round"] == "final"]
    if steps:
        rows += [Row(name, float(steps[-1][name]), "particles", run.last) for name in ("ess", "unique_ancestors")]
        rows.append(Row("lowest_ess", min(float(line["lowest_ess"]) for line in steps), "particles", run.last))
    return rows


# ---------------------------------------------------------------- pure functions


def pairwise_distance(x: Tensor) -> float:
    """Mean Euclidean distance over all pairs of different rows of (n, ...)."""
    return float(torch.pdist(x.flatten(1).double()).mean()) if len(x) > 1 else float("nan")


def nearest_distances(x: Tensor) -> Tensor:
    """(n,) Euclidean distance of each row of (n, ...) to the nearest other one."""
    points = x.flatten(1).double()
    between = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    return between.fill_diagonal_(float("inf")).min(1).values


def vendi_score(features: Tensor) -> float:
    """exp of the entropy of the eigenvalues of K / n, K the cosine similarities of (n, d) features."""
    unit = torch.nn.functional.normalize(features, dim=1)
    small = unit @ unit.T if len(unit) < unit.shape[1] else unit.T @ unit  # the same eigenvalues but for zeros
    eigenvalues = torch.linalg.eigvalsh(small / len(unit)).clamp(min=0).numpy()
    return float(np.exp(entropy(eigenvalues)))


def coverage(real: Tensor, generated: Tensor, k: int = 5) -> float:
    """Share of (m, d) real points that have a generated one within the distance to their k-th neighbour."""
    radius = torch.cdist(real, real).kthvalue(k + 1, dim=1).values  # the nearest is the point itself
    return float((torch.cdist(real, generated).min(1).values <= radius).double().mean())


REQUEST = {
    "served_distance": RequestMeasure(pairwise_distance, ""),
    "served_vendi": RequestMeasure(vendi_score, "images", on_features=True, least=1.0),
    "served_nearest": RequestMeasure(lambda points: float(nearest_distances(points).mean()), ""),
}
"""The measures of one request that are compared with a perfect mix's."""
