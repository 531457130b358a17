"""How different the samples are from each other, at the same number of samples for every method."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import entropy
from torch import Tensor

from papa.metrics.interface import Metric, Row, RunView


class Diversity(Metric):
    """pairwise: mean Euclidean distance of two images (pairwise_features: of their features).
    pairwise_ratio: over the base's. vendi: effective number of images (Friedman & Dieng 2023).
    coverage: share of the preferred real images with a sample among their 5 nearest neighbours' radius
    (Naeem et al. 2020). entropy: of the preferred classes, as a share of its maximum.
    unique_ancestors, ess: of particle methods, from the last round's population."""

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
        for line in run.rounds:
            for name in ("unique_ancestors", "ess", "lowest_ess"):
                if line.get(name):
                    rows.append(Row(name, float(line[name]), "particles", int(line["round"]), "round"))
                    if int(line["round"]) == run.last:
                        rows.append(Row(name, float(line[name]), "particles", run.last))
        return rows

    def final(self, run: RunView, images: Tensor) -> list[Row]:
        """The figures of the final samples that need features and classes."""
        references, classes = run.bench.references, run.user.classes
        if references is None:
            return []
        with torch.no_grad():
            features = references.features(images).double()
            base_features = references.features(run.base[: len(images)]).double()
            real = references.features(references.images).double()
        distance, base_distance = pairwise_distance(features), pairwise_distance(base_features)
        rows = [
            Row("pairwise_features", distance, "", run.last),
            Row("pairwise_features_ratio", distance / base_distance, "share of base", run.last),
            Row("vendi", vendi_score(features), "images", run.last),
        ]
        if classes is not None:
            preferred = real[np.isin(references.labels, classes)]
            rows.append(Row("coverage", coverage(preferred, features), "share", run.last))
        if classes is not None and len(classes) > 1:
            decided = run.bench.judges["gold"].probabilities(images).argmax(1)
            counts = np.array([(decided == c).sum() for c in classes], dtype=float)
            share = entropy(counts) / np.log(len(classes)) if counts.sum() else float("nan")
            rows.append(Row("entropy", float(share), "share of maximum", run.last))
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
