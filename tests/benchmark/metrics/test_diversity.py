"""Diversity against closed forms and sums done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from support.pixels import Likes, bench, normal, one_hot, values, view
from torch import Tensor

from papa.benchmark.metrics.diversity import Diversity, kinds, liked
from papa.benchmark.metrics.mix import Pool
from papa.benchmark.metrics.spread import coverage, nearest_distances, pairwise_distance, vendi_score


@pytest.mark.parametrize("n", [2, 5, 8])
def test_vendi_of_identical_items_is_one_and_of_orthogonal_ones_their_number(n: int) -> None:
    assert vendi_score(torch.ones(n, 8, dtype=torch.float64)) == pytest.approx(1)
    assert vendi_score(torch.eye(8, dtype=torch.float64)[:n] * 7) == pytest.approx(n)


def test_vendi_counts_groups_by_their_shares_with_more_features_than_images_or_fewer() -> None:
    three_to_one = torch.eye(4, dtype=torch.float64)[[0, 0, 0, 1]]
    assert vendi_score(three_to_one) == pytest.approx(math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25))))
    wide = torch.cat([normal(3), torch.zeros(3, 5)], dim=1)
    assert vendi_score(wide) == pytest.approx(vendi_score(wide[:, :3]))


def test_distances_by_hand() -> None:
    corners = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    assert pairwise_distance(corners.view(3, 1, 1, 2)) == pytest.approx((3 + 4 + 5) / 3)
    assert pairwise_distance(torch.ones(5, 2)) == 0.0 and math.isnan(pairwise_distance(torch.ones(1, 2)))
    assert nearest_distances(torch.tensor([[0.0], [1.0], [5.0], [5.0]])).tolist() == [1, 1, 0, 0]


def test_coverage_by_hand() -> None:
    real = torch.arange(10.0)[:, None]  # radius to the 5th neighbour: 5 at the ends, 3 in the middle
    assert coverage(real, torch.tensor([[-5.0]])) == pytest.approx(0.1)
    assert coverage(real, torch.tensor([[4.5]])) == pytest.approx(1.0)  # 4.5 from 0 and 9, radius 5
    assert coverage(real, torch.tensor([[0.0]]), k=1) == pytest.approx(0.2)


def test_entropy_over_the_preferred_classes() -> None:
    def entropy(counts: list[int], classes: tuple[int, ...] = (0, 1)) -> float:
        run = view(bench(normal(40), diversity=sum(counts), per_round=4), one_hot(counts), user=Likes(classes))
        return values(kinds(run)).get("entropy", -1)

    assert entropy([5, 5, 0]) == pytest.approx(1.0)
    assert entropy([5, 5, 7]) == pytest.approx(1.0)  # what is not preferred does not count
    assert entropy([9, 0, 3]) == pytest.approx(0.0)
    assert entropy([3, 1, 0]) == pytest.approx(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)))
    assert math.isnan(entropy([0, 0, 4]))
    assert entropy([5, 5, 0], classes=(0,)) == -1  # one class has no entropy to measure


# ---------------------------------------------------------------- built populations

N = 32
LIKED, OTHER = torch.tensor([9.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 9.0])
"""Where the liked images lie (the user of `Likes((0,))` likes the first of three classes) and where the others do."""


def around(centre: Tensor, n: int, name: str) -> Tensor:
    return centre.double() + normal(n, name=name)


BASE = torch.cat([around(LIKED, 400, "liked"), around(OTHER, 600, "other")])


def mix(share: float, n: int, name: str) -> Tensor:
    """A perfect mix: new samples of the same two kinds, this share of them liked."""
    k = round(share * n)
    found = torch.cat([around(LIKED, k, name + "+"), around(OTHER, n - k, name + "-")])
    return found[torch.from_numpy(np.random.default_rng(0).permutation(n))]


def measured(request: Tensor, final: Tensor | None = None) -> dict[str, float]:
    """The measures of a population of which this is one request, and these are all final samples."""
    images = {"final": request if final is None else final, "served": request}
    of = bench(per_round=8, served=N, diversity=256)
    return values(Diversity().measure(view(of, base=BASE, images=images, user=Likes((0,)))))


@pytest.mark.parametrize("share", [0.25, 0.5, 0.8125, 1.0])
def test_a_perfect_mix_loses_nothing_at_any_preference(share: float) -> None:
    """The mean distance falls by a half from a share of 0.5 to 1, and no ratio does."""
    found = measured(mix(share, N, f"r{share}"), mix(share, 512, f"f{share}"))
    for name in ("distance_ratio", "liked_distance_ratio"):
        assert found[name] == pytest.approx(1, abs=0.06)
    for name in ("served_distance_ratio", "served_vendi_ratio", "served_nearest_ratio"):
        assert found[name] == pytest.approx(1, abs=0.25)
    assert found["served_unique"] == N and found["served_copies"] < 0.1


def test_exact_copies_in_every_second_slot_are_seen() -> None:
    """A mean over pairs sees next to nothing of them."""
    whole = mix(0.8125, N, "w")
    copied = whole.clone()
    copied[1::2] = whole[::2]
    before, after = measured(whole), measured(copied)
    assert after["served_distance_ratio"] > 0.85 * before["served_distance_ratio"]
    assert after["served_unique"] == N / 2 and after["served_copies"] == 1
    assert after["served_nearest"] == after["served_nearest_ratio"] == 0


def test_four_ancestors_of_a_population_are_seen() -> None:
    """32 images that differ a little from four starts: none is a copy to the last bit."""
    starts = mix(0.75, 4, "four")
    found = measured(starts.repeat(8, 1) + 0.02 * normal(N, name="jitter"))
    assert found["served_unique"] == N, "they do differ"
    assert found["served_copies"] == 1 and found["served_nearest_ratio"] < 0.1
    assert found["served_distance_ratio"] > 0.5, "which a mean over pairs takes for variety"


def test_full_collapse_is_seen_by_all() -> None:
    found = measured(LIKED.double().repeat(N, 1), LIKED.double().repeat(512, 1))
    assert found["served_unique"] == 1 and found["served_copies"] == 1 and found["served_vendi"] == pytest.approx(1)
    for name in ("distance_ratio", "liked_distance_ratio", "served_distance_ratio", "served_nearest_ratio"):
        assert found[name] == pytest.approx(0, abs=1e-6)
    assert found["served_vendi_ratio"] < 1


def test_without_enough_base_samples_of_a_kind_there_is_no_mix_to_compare_with() -> None:
    base = torch.cat([around(LIKED, 10, "few"), around(OTHER, 60, "many")])
    images = {"final": mix(1.0, 64, "f"), "served": mix(1.0, N, "r")}
    found = values(Diversity().measure(view(bench(per_round=8), base=base, images=images, user=Likes((0,)))))
    assert math.isnan(found["served_vendi_ratio"]) and math.isnan(found["served_copies"]) and found["served_vendi"] > 1
    assert found["distance_ratio"] == pytest.approx(1, abs=0.4), "mean distances need no more than two of a kind"


def test_the_mean_distance_of_a_mix_is_that_of_all_its_pairs() -> None:
    """In closed form, against every pair of a mix of all the base samples."""
    pool = Pool(bench(), Likes((0,)), BASE, ("u", "0"))
    assert pool.distance(1000, 400) == pytest.approx(pairwise_distance(BASE))
    assert pool.distance(2, 2) == pytest.approx(pairwise_distance(BASE[:400]))


# ---------------------------------------------------------------- stages


def test_every_point_of_the_curve_is_one_request_and_the_end_is_another() -> None:
    base = mix(0.4, 64, "base")
    images = {"round_01": base[:16], "final": base, "served": base[:N]}
    of = bench(diversity=64, per_round=16, served=N)
    rows = Diversity().measure(view(of, base=base, images=images, feedback=[{}, {}], user=Likes((0,))))
    where = [(row.round, row.stage) for row in rows if row.metric == "served_nearest"]
    assert where == [(0, "round"), (1, "round"), (2, "round"), (2, "final")]
    found = {row.value for row in rows if row.metric == "served_nearest" and row.stage == "round"}
    assert len(found) == 1, "the same images, so the same value"
    assert values(rows)["served_nearest"] == pytest.approx(float(nearest_distances(base[:N]).mean()))
    assert values(rows)["distance"] == pytest.approx(pairwise_distance(base))


def test_diversity_is_measured_on_the_same_number_whatever_was_drawn() -> None:
    images = normal(64)
    few, many = (values(Diversity().measure(view(bench(diversity=32, per_round=8), images[:n]))) for n in (32, 64))
    assert few.keys() == many.keys()
    assert all(few[name] == many[name] for name in few if not name.startswith("liked")), "those have no count bias"


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


def test_distance_within_the_liked_is_that_of_the_liked_samples_alone() -> None:
    """Liked: the largest pixel is the first or the second. The base's liked ones are 2 apart, the run's 1."""
    far, disliked = torch.tensor([9.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 50.0])
    base = torch.stack([disliked, far, disliked, far + torch.tensor([2.0, 0.0, 0.0])]).double()
    final = torch.stack([far, disliked, far + torch.tensor([1.0, 0.0, 0.0])]).double()

    def within(final: Tensor, base: Tensor) -> dict[str, float]:
        run = view(bench(diversity=2), final, base)
        return values(liked(run, Pool(run.bench, run.user, base, ("u", "0"))))

    assert within(final, base) == {"liked_distance": 1.0, "liked_distance_ratio": 0.5}
    for few in (final[:2], disliked.double().expand(4, -1)):
        assert within(few, base) == {}, "one liked sample has no distance"
    assert within(final, base[:2]) == {}
