"""Precision, recall, density, memorization and near copies on sets whose answer is known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from support.pixels import bench, normal, values, view
from torch import Tensor

from papa.benchmark.metrics.manifold import Manifold, near_pairs
from papa.benchmark.metrics.spread import density, nearer_to, precision

K = 5


def recall(real: Tensor, generated: Tensor, k: int = K) -> float:
    return precision(generated, real, k)


def modes(n: int, which: tuple[int, ...], name: str) -> Tensor:
    """(n, 8) points in narrow clusters, far from each other."""
    return torch.cat([normal(n // len(which), at=20.0 * mode, scale=0.5, name=f"{name}{mode}") for mode in which])


def test_two_sets_of_one_law_are_each_in_the_other_s_reach() -> None:
    real, generated = normal(500, name="real"), normal(500, name="other")
    assert precision(real, generated) > 0.85 and recall(real, generated) > 0.85
    assert density(real, generated) == pytest.approx(1, abs=0.15)


def test_a_full_collapse_is_precise_and_recalls_nothing() -> None:
    real = normal(400, name="real")
    generated = real[:1] + 1e-3 * normal(400, name="near")
    assert precision(real, generated) == 1 and recall(real, generated) < 0.01


def test_half_of_the_modes_missing_halves_the_recall_and_not_the_precision() -> None:
    real, generated = modes(400, (0, 1, 2, 3), "real"), modes(400, (0, 1), "made")
    assert precision(real, generated) > 0.85 and recall(real, generated) == pytest.approx(0.5, abs=0.05)


def test_precision_and_density_by_hand() -> None:
    """On a line, k = 1: the neighbourhoods of 0, 1 and 5 reach 1, 1 and 4."""
    real = torch.tensor([[0.0], [1.0], [5.0]])
    assert precision(real, torch.tensor([[0.5], [3.0], [10.0]]), k=1) == pytest.approx(2 / 3)
    assert density(real, torch.tensor([[0.5]]), k=1) == pytest.approx(2.0)  # near 0 and 1, over k = 1
    assert density(real, torch.tensor([[1.5], [20.0]]), k=1) == pytest.approx((2 + 0) / 2)  # near 1 and 5


def test_copies_of_what_was_seen_are_memorized_and_fresh_ones_are_not() -> None:
    seen, unseen = normal(400, name="seen"), normal(400, name="unseen")
    assert nearer_to(seen, unseen, seen[:100]) == 1 and nearer_to(seen, unseen, unseen[:100]) == 0
    assert nearer_to(seen, unseen, normal(2000, name="fresh")) == pytest.approx(0.5, abs=0.06)
    half = torch.cat([seen[:500], normal(400, name="fresh")])
    assert nearer_to(seen, unseen, half) == pytest.approx(0.75, abs=0.05)
    assert nearer_to(seen, seen.flip(0), seen[:10]) == 0.5  # a tie counts half
    with pytest.raises(ValueError, match="as many"):
        nearer_to(seen, unseen[:10], seen)


def test_near_pairs_see_the_copies_that_a_mean_over_pairs_does_not() -> None:
    base = normal(32, name="base")
    four = normal(4, name="ancestors").repeat(8, 1) + 1e-4 * normal(32, name="spread")
    kept = torch.pdist(four).mean() / torch.pdist(base).mean()
    assert kept > 0.6
    assert near_pairs(four, base) == pytest.approx(4 * math.comb(8, 2) / math.comb(32, 2))
    assert near_pairs(base, base) < 0.01


def test_a_run_has_the_rows_and_none_where_there_is_nothing_to_compare_with() -> None:
    real = normal(64, name="real")
    labels = np.zeros(64, dtype=int)
    found = values(Manifold().measure(view(bench(real, labels), final=real[:40], base=normal(64, name="base"))))
    assert found["precision"] == 1 and {"recall", "density", "near_pairs"} <= set(found)
    assert "memorized" not in found  # nobody knows what this base was trained on
    alone = bench()
    alone.task.references = alone.task.features = lambda: None  # pyright: ignore[reportAttributeAccessIssue]
    assert set(values(Manifold().measure(view(alone, final=real, base=normal(64, name="base"))))) == {"near_pairs"}
    assert not Manifold().measure(view(bench(real, labels), final=real[:3], base=real))
