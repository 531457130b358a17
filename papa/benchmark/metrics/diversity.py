"""How different the samples are from each other, at the same number of samples for every method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import entropy
from torch import Tensor

from papa.benchmark.metrics.interface import Metric, Row, RunView

PARTICLES = ("ess", "lowest_ess", "unique_ancestors")


class Diversity(Metric):
    """pairwise: mean Euclidean distance of two images (pairwise_features: of their features).
    pairwise_ratio: over the base's. preferred_distance: of the features of two final samples that the labelling
    judge counts as liked; preferred_distance_ratio: over that of the liked base samples, preferred_pixel_ratio:
    the same of the images themselves (a mean over pairs does not depend on how many there are).
    vendi: effective number of images (Friedman & Dieng 2023).
    coverage: share of the preferred real images with a sample among their 5 nearest neighbours' radius
    (Naeem et al. 2020). entropy: of the preferred classes, as a share of its maximum.
    ess, lowest_ess, unique_ancestors: of particle methods, of each round's population (at its last step, lowest_ess
    along all of them), and for the final samples the means over their populations."""

    def __init__(self) -> None:
        self._liked_base: dict[tuple[Any, Any], Distances | None] = {}

    def measure(self, run: RunView) -> list[Row]:
        n = run.bench.measures.diversity
        rows = []
        base_at = {size: pairwise_distance(run.base[:size]) for size in (n, run.bench.measures.per_round)}
        for index, stage, images in run.stages():
            size = n if stage == "final" else run.bench.measures.per_round
            value = pairwise_distance(images[:size])
            rows.append(Row("pairwise", value, "", index, stage))
            rows.append(Row("pairwise_ratio", value / base_at[size], "share of base", index, stage))
        if "final" in run.images:
            rows += self.final(run, run.images["final"][:n])
            rows += self.preferred(run, run.images["final"])
        return rows + particles(run)

    def final(self, run: RunView, images: Tensor) -> list[Row]:
        """The values of the final samples that need features and classes."""
        references, classes, embed = run.bench.references, run.user.classes, run.bench.features
        if embed is None:
            return []
        features, base_features = embed(images), embed(run.base[: len(images)])
        distance, base_distance = pairwise_distance(features), pairwise_distance(base_features)
        rows = [
            Row("pairwise_features", distance, "", run.last),
            Row("pairwise_features_ratio", distance / base_distance, "share of base", run.last),
            Row("vendi", vendi_score(features), "images", run.last),
        ]
        if classes is not None and references is not None:
            preferred = run.bench.reference_features[torch.from_numpy(np.isin(references.labels, classes))]
            rows.append(Row("coverage", coverage(preferred, features), "share", run.last))
        if classes is not None and len(classes) > 1:
            decided = run.bench.judges["gold"].probabilities(images).argmax(1)
            counts = np.array([(decided == c).sum() for c in classes], dtype=float)
            share = entropy(counts) / np.log(len(classes)) if counts.sum() else float("nan")
            rows.append(Row("entropy", float(share), "share of maximum", run.last))
        return rows

    def preferred(self, run: RunView, images: Tensor) -> list[Row]:
        """How different the liked samples are from each other, against the liked samples of the base."""
        if run.bench.features is None:
            return []
        key = (run.meta.user, run.meta.seed)
        if key not in self._liked_base:
            self._liked_base[key] = liked_distances(run, run.base)
        own, base = liked_distances(run, images), self._liked_base[key]
        if own is None or base is None or 0 in (base.features, base.pixels):
            return []
        return [
            Row("preferred_distance", own.features, "", run.last),
            Row("preferred_distance_ratio", own.features / base.features, "share of base", run.last),
            Row("preferred_pixel_ratio", own.pixels / base.pixels, "share of base", run.last),
        ]


@dataclass(frozen=True)
class Distances:
    """Mean distances of two images of a set, of their features and of themselves."""

    features: float
    pixels: float


def liked_distances(run: RunView, images: Tensor) -> Distances | None:
    """Of the first liked images, as many as the diversity measures take; None if there are not two."""
    embed, n = run.bench.features, run.bench.measures.diversity
    assert embed is not None
    found, count = [], 0
    for part in images.split(n):
        found.append(part[torch.from_numpy(run.user.verdict(part) > 0.5)])
        if (count := count + len(found[-1])) >= n:
            break
    if count < 2:
        return None
    liked = torch.cat(found)[:n]
    return Distances(pairwise_distance(embed(liked)), pairwise_distance(liked))


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


def pairwise_distance(x: Tensor) -> float:
    """Mean Euclidean distance over all pairs of different rows of (n, ...)."""
    return float(torch.pdist(x.flatten(1).double()).mean()) if len(x) > 1 else float("nan")


def vendi_score(features: Tensor) -> float:
    """exp of the entropy of the eigenvalues of K / n, K the cosine similarities of (n, d) features."""
    unit = torch.nn.functional.normalize(features, dim=1)
    eigenvalues = torch.linalg.eigvalsh(unit.T @ unit / len(unit)).clamp(min=0).numpy()
    return float(np.exp(entropy(eigenvalues)))


def coverage(real: Tensor, generated: Tensor, k: int = 5) -> float:
    """Share of (m, d) real points that have a generated one within the distance to their k-th neighbour."""
    radius = torch.cdist(real, real).kthvalue(k + 1, dim=1).values  # the nearest is the point itself
    return float((torch.cdist(real, generated).min(1).values <= radius).double().mean())
