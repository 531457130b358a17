"""Diversity against closed forms and sums done by hand."""

from __future__ import annotations

import math

import pytest
import torch
from support.pixels import Likes, bench, normal, one_hot, values, view

from papa.benchmark.metrics.diversity import Diversity, coverage, pairwise_distance, vendi_score


@pytest.mark.parametrize("n", [2, 5, 8])
def test_vendi_of_identical_items_is_one_and_of_orthogonal_ones_their_number(n: int) -> None:
    assert vendi_score(torch.ones(n, 8, dtype=torch.float64)) == pytest.approx(1)
    assert vendi_score(torch.eye(8, dtype=torch.float64)[:n] * 7) == pytest.approx(n)


def test_vendi_counts_groups_by_their_shares() -> None:
    three_to_one = torch.eye(4, dtype=torch.float64)[[0, 0, 0, 1]]
    assert vendi_score(three_to_one) == pytest.approx(math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25))))


def test_pairwise_distance_by_hand() -> None:
    corners = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    assert pairwise_distance(corners) == pytest.approx((3 + 4 + 5) / 3)
    assert pairwise_distance(corners.view(3, 1, 1, 2)) == pytest.approx(4)
    assert pairwise_distance(torch.ones(5, 2)) == 0.0
    assert math.isnan(pairwise_distance(torch.ones(1, 2)))


def test_coverage_of_the_same_set_is_one_and_of_a_far_one_none() -> None:
    real = normal(60)
    assert coverage(real, real) == 1.0
    assert coverage(real, real + 100) == 0.0


def test_coverage_by_hand() -> None:
    real = torch.arange(10.0)[:, None]  # radius to the 5th neighbour: 5 at the ends, 3 in the middle
    assert coverage(real, torch.tensor([[-5.0]])) == pytest.approx(0.1)
    assert coverage(real, torch.tensor([[4.5]])) == pytest.approx(1.0)  # 4.5 from 0 and 9, radius 5
    assert coverage(real, torch.tensor([[0.0]]), k=1) == pytest.approx(0.2)


def test_entropy_over_the_preferred_classes() -> None:
    def entropy(counts: list[int], classes: tuple[int, ...] = (0, 1)) -> float:
        images = one_hot(counts)
        run = view(bench(normal(40), diversity=len(images), per_round=4), images, user=Likes(classes))
        return values(Diversity().final(run, images)).get("entropy", -1)

    assert entropy([5, 5, 0]) == pytest.approx(1.0)
    assert entropy([5, 5, 7]) == pytest.approx(1.0)  # what is not preferred does not count
    assert entropy([9, 0, 3]) == pytest.approx(0.0)
    assert entropy([3, 1, 0]) == pytest.approx(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)))
    assert math.isnan(entropy([0, 0, 4]))
    assert entropy([5, 5, 0], classes=(0,)) == -1  # one class has no entropy to measure


def test_the_base_against_itself_has_ratio_one_at_every_stage() -> None:
    base = normal(64, name="base")
    images = {"round_01": base[:16], "final": base}
    rows = Diversity().measure(view(bench(diversity=32, per_round=16), base=base, images=images, feedback=[{}, {}]))
    assert {row.value for row in rows if row.metric == "pairwise_ratio"} == {1.0}
    assert [(r.round, r.stage) for r in rows if r.metric == "pairwise"] == [
        (0, "round"),
        (1, "round"),
        (2, "round"),
        (2, "final"),
    ]
    final = values(rows)
    assert final["pairwise_features_ratio"] == 1.0 and final["pairwise"] == pytest.approx(pairwise_distance(base[:32]))


def test_diversity_is_measured_on_the_same_number_whatever_was_drawn() -> None:
    images = normal(64)
    few, many = (values(Diversity().measure(view(bench(diversity=32, per_round=8), images[:n]))) for n in (32, 64))
    assert few.keys() == many.keys()
    assert all(few[name] == many[name] for name in few if not name.startswith("preferred")), "those have no count bias"


def test_particles_of_the_rounds_and_of_the_final_samples() -> None:
    lines = [{"round": "1", "unique_ancestors": "", "ess": ""}, {"round": "2", "unique_ancestors": "7.0", "ess": "3.5"}]
    names: list[str] = ["round", "ess", "lowest_ess", "unique_ancestors"]
    steps = [("2", "9", "9", "9"), ("final", "4", "2", "6"), ("final", "5", "3", "4")]
    trace = [dict(zip(names, step, strict=True)) for step in steps]
    run = view(bench(), rounds=lines, feedback=[{}, {}])
    assert values(Diversity().measure(run), "round").items() >= {("unique_ancestors", 7.0), ("ess", 3.5)}
    assert "ess" not in values(Diversity().measure(run)), "without a final draw there is nothing to say of it"
    run.trace = trace
    found = values(Diversity().measure(run))
    assert (found["ess"], found["lowest_ess"], found["unique_ancestors"]) == (5.0, 2.0, 4.0)


def test_distance_within_the_preferred_is_that_of_the_liked_samples_alone() -> None:
    """Liked: the largest pixel is the first or the second. The base's liked ones are 2 apart, the run's 1."""
    far, disliked = torch.tensor([9.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 50.0])
    base = torch.stack([disliked, far, disliked, far + torch.tensor([2.0, 0.0, 0.0])]).double()
    final = torch.stack([far, disliked, far + torch.tensor([1.0, 0.0, 0.0])]).double()
    found = values(Diversity().preferred(view(bench(diversity=2), final, base), final))
    assert found == {"preferred_distance": 1.0, "preferred_distance_ratio": 0.5, "preferred_pixel_ratio": 0.5}
    for few in (final[:2], disliked.double().expand(4, -1)):
        assert Diversity().preferred(view(bench(diversity=2), few, base), few) == [], "one liked sample has no distance"
    assert Diversity().preferred(view(bench(diversity=2), final, base[:2]), final) == []


def test_distance_within_the_preferred_does_not_depend_on_the_share_that_is_liked() -> None:
    liked = normal(400, name="liked") + torch.tensor([20.0, 0.0, 0.0])
    mixed = torch.cat([normal(100) + torch.tensor([0.0, 0.0, 30.0]), liked])
    found = values(Diversity().preferred(view(bench(diversity=200), liked, mixed), liked))
    assert found["preferred_distance_ratio"] == found["preferred_pixel_ratio"] == 1.0


def test_the_bases_liked_samples_are_measured_once_per_user_and_seed() -> None:
    metric, base = Diversity(), normal(50, name="base")
    for seed in (0, 0, 1):
        metric.preferred(view(bench(), normal(20), base, meta={"user": "a", "seed": seed}), normal(20))
    assert list(metric._liked_base) == [("a", 0), ("a", 1)]
