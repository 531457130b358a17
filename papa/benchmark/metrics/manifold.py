"""Where the samples lie among real images: precision, recall, density; whether they are memorized, or near copies."""

from __future__ import annotations

import torch
from torch import Tensor

from papa.benchmark.metrics.interface import Bench, Metric, Row, RunView
from papa.benchmark.metrics.spread import density, nearer_to, nearest_distances, precision

NEIGHBOURS = 5
"""Which neighbour's distance is the radius of a point's neighbourhood."""


class Manifold(Metric):
    """In feature space, against the real images of the preferred classes (of all where there are none), as many samples
    as diversity takes. precision: share of samples near a real image. recall: share of real images near a sample.
    density: as precision, counting every real image that a sample is near to. (`coverage` is among the measures of
    diversity.)

    memorized: share of samples that are nearer to an image that the base model was trained on than to one that it was
    not, among as many of both; a half is none of it. Only where the training images are at hand.
    near_pairs: share of pairs of samples that are nearer to each other than a quarter of what as many base samples'
    nearest neighbours are away: copies that a mean over pairs does not see."""

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
    """Share of pairs of (n, d) points nearer than a quarter of a base point's mean distance to its nearest one."""
    near = float(nearest_distances(base).mean()) / 4
    return float((torch.pdist(points.double()) < near).double().mean())


def trained_on(bench: Bench) -> Tensor | None:
    """(n, pixels) images that the base model was trained on, as many as there are references, the same for all runs."""
    seen = bench.task.training_images()
    if seen is None or bench.references is None:
        return None
    n = len(bench.references.images)
    chosen = bench.stream.at("memorized").generator().choice(len(seen), n, replace=False)
    return seen[torch.from_numpy(chosen)].flatten(1)
