"""How far images lie from each other: pure functions on points."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import entropy
from torch import Tensor


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
