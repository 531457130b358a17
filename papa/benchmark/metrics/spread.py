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


def radii(points: Tensor, k: int) -> Tensor:
    """(n,) distance of each row of (n, d) to its k-th nearest other one."""
    return torch.cdist(points, points).kthvalue(k + 1, dim=1).values  # the nearest is the point itself


def precision(real: Tensor, generated: Tensor, k: int = 5) -> float:
    """Share of (n, d) generated points within the k-th neighbour's distance of some (m, d) real one.

    Source:  Kynkäänniemi et al. 2019 (arXiv 1904.06991). The recall is the same with both sets swapped.
    """
    return float((torch.cdist(generated, real) <= radii(real, k)).any(1).double().mean())


def density(real: Tensor, generated: Tensor, k: int = 5) -> float:
    """Of how many real points' neighbourhoods a generated one is in the mean, over k; 1 where both are alike.

    Source:  Naeem et al. 2020 (arXiv 2002.09797).
    """
    return float((torch.cdist(generated, real) <= radii(real, k)).double().sum(1).mean() / k)


def nearer_to(seen: Tensor, unseen: Tensor, generated: Tensor) -> float:
    """Share of generated points that are nearer to their nearest seen one than to their nearest unseen one; ties count
    half.

    With as many seen as unseen points it is 1/2 where nothing was memorized, and 1 for copies of what was seen.

    Raises:  ValueError where there are not as many of both: the nearest of more is nearer.
    """
    if len(seen) != len(unseen):
        raise ValueError(f"as many points on both sides: {len(seen)} seen, {len(unseen)} unseen")
    exact = "donot_use_mm_for_euclid_dist"
    a, b = (torch.cdist(generated, points, compute_mode=exact).min(1).values for points in (seen, unseen))
    return float(((a < b).double() + 0.5 * (a == b).double()).mean())


def coverage(real: Tensor, generated: Tensor, k: int = 5) -> float:
    """Share of (m, d) real points that have a generated one within the distance to their k-th neighbour."""
    return float((torch.cdist(real, generated).min(1).values <= radii(real, k)).double().mean())
