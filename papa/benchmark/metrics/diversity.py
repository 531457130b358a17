"""Diversity of the samples, relative to an oracle mixture with the same share of likes.

A mean over pairs hardly sees near copies: 32 images of four ancestors keep most of it. So there are three kinds of
measures: over all final samples, among liked samples, and within one request (`served`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.stats import entropy
from torch import Tensor

from papa.benchmark.metrics.interface import Metric, Row, RunView
from papa.benchmark.metrics.mix import REQUEST, Pool
from papa.benchmark.metrics.spread import coverage, nearest_distances, pairwise_distance, vendi_score

PARTICLES = ("ess", "lowest_ess", "unique_ancestors")


class Diversity(Metric):
    """Distances are in the task's own space (pixels or features). *_ratio: relative to an oracle mixture.

    Graded tastes are cut at preference 1/2 here, so an exact tilt is not exactly at 1.

    All final samples: distance (mean of two images); vendi (effective number of images); coverage (share of preferred
    real images with a sample in their neighbourhood); entropy (of the preferred classes, share of its maximum).
    Samples that the gold judge likes: liked_distance (mean of two images); its ratio is to the base.
    One request, after every round and at the end: served_distance, served_vendi, served_nearest (mean distance to the
    nearest other image); in the ratio of served_vendi the first image is not counted, so copies of one image have 0;
    served_unique (different images); served_copies (share of images with another one nearer than a quarter of the
    nearest-neighbour distance of an oracle mixture).
    Particle methods: ess, lowest_ess, unique_ancestors of each round's population (at its last step; lowest_ess over
    all steps), and their means for the final samples."""

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
        """The base samples of a user and seed, shared by all methods."""
        key = (run.meta.user, run.meta.seed)
        if key not in self._pools:
            self._pools[key] = Pool(run.bench, run.user, run.base, (*map(str, key),))
        return self._pools[key]


def served(run: RunView, pool: Pool, images: Tensor) -> list[tuple[str, float, str]]:
    """(name, value, unit) of the images of one request; NaN without an oracle mixture."""
    n = len(images)
    if n < 2:
        return []
    points = run.points(images)
    found = [("served_unique", float(len(images.flatten(1).unique(dim=0))), "images")]
    k = int((run.verdict(images) > 0.5).sum()) if pool.scored else 0
    for name, of in REQUEST.items():
        value = of.measure(run.embedded(images) if of.on_features else points)
        mix = pool.mean(n, k, name)
        found.append((name, value, of.unit))
        if pool.scored:
            found.append((f"{name}_ratio", (value - of.least) / (mix - of.least), "share of a perfect mix's"))
    if pool.scored:
        near = pool.mean(n, k, "served_nearest") / 4
        copies = float((nearest_distances(points) < near).double().mean()) if near > 0 else float("nan")
        found.append(("served_copies", copies, "share"))
    return found


def final(run: RunView, pool: Pool) -> list[Row]:
    """Distance, Vendi score and coverage of the first final samples; the last two only of a full set of samples."""
    images = run.images["final"][: run.bench.measures.diversity]
    if (n := len(images)) < 2:
        return []
    distance = pairwise_distance(run.points(images))
    rows = [Row("distance", distance, "", run.last)]
    if pool.scored:
        k = int((run.verdict(images) > 0.5).sum())
        rows.append(Row("distance_ratio", distance / pool.distance(n, k), "share of a perfect mix's", run.last))
    if run.bench.features is None or n < run.bench.measures.diversity:
        return rows
    features = run.embedded(images)
    rows.append(Row("vendi", vendi_score(features), "images", run.last))
    classes = run.user.classes
    if classes is not None and run.bench.references is not None:
        rows.append(Row("coverage", coverage(run.bench.real.of(classes), features), "share", run.last))
    return rows


def kinds(run: RunView) -> list[Row]:
    """How evenly the preferred classes are sampled."""
    classes = run.user.classes
    if classes is None or len(classes) < 2 or "gold" not in run.decided:
        return []
    decided = run.decided["gold"](run.images["final"])[: run.bench.measures.diversity]
    counts = np.array([(decided == c).sum() for c in classes], dtype=float)
    share = entropy(counts) / np.log(len(classes)) if counts.sum() else float("nan")
    return [Row("entropy", float(share), "share of maximum", run.last)]


def liked(run: RunView, pool: Pool) -> list[Row]:
    """Mean distance of two liked final samples, also relative to two liked base samples."""
    images = run.images["final"]
    if not pool.scored:
        return []
    found = images[torch.from_numpy(run.verdict(images) > 0.5)][: run.bench.measures.diversity]
    base = pool.liked_distance()
    if len(found) < 2 or not base > 0:
        return []
    own = pairwise_distance(run.points(found))
    return [
        Row("liked_distance", own, "", run.last),
        Row("liked_distance_ratio", own / base, "share of the base's", run.last),
    ]


def particles(run: RunView) -> list[Row]:
    """Effective sample sizes and ancestors of particle methods."""
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
