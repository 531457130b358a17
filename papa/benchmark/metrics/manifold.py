"""Samples among real images: precision, recall, density; memorization and near copies."""

from __future__ import annotations

import torch
from torch import Tensor

from papa.benchmark.metrics.interface import Bench, Metric, Row, RunView
from papa.benchmark.metrics.spread import density, nearer_to, nearest_distances, precision

NEIGHBOURS = 5
"""The radius of a neighbourhood is the distance to this neighbour."""


class Manifold(Metric):
    """In feature space, against real images of the preferred classes (all classes without any), on the sample count of
    `Diversity`: precision (share of samples near a real image), recall (share of real images near a sample),
    density (as precision, counting every near real image); coverage is in `Diversity`.

    memorized: share of samples nearer to a training image of the base than to an unseen one (sets of equal size); 1/2
    without memorization. near_pairs: share of pairs of samples nearer than a quarter of the mean nearest-neighbour
    distance of equally many base samples."""

    def measure(self, run: RunView) -> list[Row]:
        images = run.images.get("final")
        if images is None or len(images := images[: run.bench.measures.diversity]) <= NEIGHBOURS:
            return []
        found = {"near_pairs": near_pairs(run.points(images), run.points(run.base[: len(images)]))}
        if run.bench.references is not None:
            real, features = run.bench.real.of(run.user.classes), run.embedded(images)
            if len(real) > NEIGHBOURS:
                found |= {
                    "precision": precision(real, features, NEIGHBOURS),
                    "recall": precision(features, real, NEIGHBOURS),
                }
                found["density"] = density(real, features, NEIGHBOURS)
            if (seen := trained_on(run.bench)) is not None:
                unseen = run.bench.references.images.flatten(1)
                found["memorized"] = nearer_to(seen, unseen, images.flatten(1))
        return [Row(name, value, "" if name == "density" else "share", run.last) for name, value in found.items()]


def near_pairs(points: Tensor, base: Tensor) -> float:
    """Share of pairs of (n, d) points nearer than a quarter of the mean nearest-neighbour distance of the base."""
    near = float(nearest_distances(base).mean()) / 4
    return float((torch.pdist(points.double()) < near).double().mean())


def trained_on(bench: Bench) -> Tensor | None:
    """(n, pixels) training images of the base; n is the number of references; the same for all runs."""
    seen = bench.task.training_images()
    if seen is None or bench.references is None:
        return None
    n = len(bench.references.images)
    chosen = bench.stream.at("memorized").generator().choice(len(seen), n, replace=False)
    return seen[torch.from_numpy(chosen)].flatten(1)
