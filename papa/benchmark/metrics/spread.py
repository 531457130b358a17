"""Distances between images: pure functions on points."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import entropy
from torch import Tensor

EXACT = "donot_use_mm_for_euclid_dist"


def pairwise_distance(x: Tensor) -> float:
    """Mean Euclidean distance over all pairs of different rows of (n, ...)."""
    return float(torch.pdist(x.flatten(1).double()).mean()) if len(x) > 1 else float("nan")


def nearest_distances(x: Tensor) -> Tensor:
    """(n,) Euclidean distance of each row of (n, ...) to the nearest other one."""
    points = x.flatten(1).double()
    return torch.cdist(points, points, compute_mode=EXACT).fill_diagonal_(float("inf")).min(1).values


def vendi_score(features: Tensor) -> float:
    """Vendi score (Friedman & Dieng 2023): effective number of rows of (n, d) features by cosine similarity."""
    unit = torch.nn.functional.normalize(features, dim=1)
    small = unit @ unit.T if len(unit) < unit.shape[1] else unit.T @ unit  # the same eigenvalues up to zeros
    eigenvalues = torch.linalg.eigvalsh(small / len(unit)).clamp(min=0).numpy()
    return float(np.exp(entropy(eigenvalues)))


def radii(points: Tensor, k: int) -> Tensor:
    """(n,) distance of each row of (n, d) to its k-th nearest other one."""
    return torch.cdist(points, points).kthvalue(k + 1, dim=1).values  # the nearest is the point itself


def precision(real: Tensor, generated: Tensor, k: int = 5) -> float:
    """Share of (n, d) generated points within the k-th neighbour's distance of some (m, d) real one.

    Recall is the same with both sets swapped. Source: Kynkäänniemi et al. 2019 (arXiv 1904.06991).
    """
    return float((torch.cdist(generated, real) <= radii(real, k)).any(1).double().mean())


def density(real: Tensor, generated: Tensor, k: int = 5) -> float:
    """Mean number of real neighbourhoods around a generated point, over k; about 1 for equal distributions.

    Source: Naeem et al. 2020 (arXiv 2002.09797).
    """
    return float((torch.cdist(generated, real) <= radii(real, k)).double().sum(1).mean() / k)


def coverage(real: Tensor, generated: Tensor, k: int = 5) -> float:
    """Share of (m, d) real points with a generated one within the distance to their k-th neighbour (Naeem et al.)."""
    return float((torch.cdist(real, generated).min(1).values <= radii(real, k)).double().mean())


def nearer_to(seen: Tensor, unseen: Tensor, generated: Tensor) -> float:
    """Share of generated points nearer to a seen point than to any unseen one; ties count half.

    1/2 without memorization, 1 for copies of seen points.

    Raises:
        ValueError: if the numbers of seen and unseen points differ, since the nearest of more is nearer.
    """
    if len(seen) != len(unseen):
        raise ValueError(f"as many seen as unseen points are needed: {len(seen)} seen, {len(unseen)} unseen")
    a, b = (torch.cdist(generated, points, compute_mode=EXACT).min(1).values for points in (seen, unseen))
    return float(((a < b).double() + 0.5 * (a == b).double()).mean())
