"""The measures against closed forms and sums done by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from papa.config import Measures
from papa.metrics.cost import Cost
from papa.metrics.diversity import Diversity, coverage, pairwise_distance, vendi_score
from papa.metrics.fidelity import ENOUGH, Fidelity
from papa.metrics.golden import Golden
from papa.metrics.interface import Bench, RunView
from papa.metrics.preference import Preference, predicted_liking
from papa.metrics.retention import Retention
from papa.metrics.session import Session
from papa.registry import USERS
from papa.rng import Stream
from papa.tasks.gmm2d import Gmm2d
from papa.tasks.interface import References

DIM = 3


class Flat(nn.Module):
    """Features are the pixels."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


class OneHotJudge:
    """The class is the place of the largest pixel."""

    def probabilities(self, images: Tensor) -> np.ndarray:
        return np.eye(DIM)[images.flatten(1).argmax(1).numpy()]


class Likes:
    """A user of class `classes` whose liking is the share of pixels there."""

    def __init__(self, classes: tuple[int, ...] | None = (0, 1)) -> None:
        self.classes = classes

    def liking(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, list(self.classes or ())].sum(1)

    def verdict(self, images: Tensor) -> np.ndarray:
        return np.isin(OneHotJudge().probabilities(images).argmax(1), self.classes or ()).astype(float)


def normal(n: int, at: float = 0.0, scale: float = 1.0, name: str = "x") -> Tensor:
    return at + scale * torch.from_numpy(Stream(0).at(name).normal(n, DIM, dtype=np.float64))


def bench(real: Tensor | None = None, labels: np.ndarray | None = None, **measures: Any) -> Bench:
    real = normal(1200) if real is None else real
    labels = np.arange(len(real)) % DIM if labels is None else labels
    task: Any = SimpleNamespace(
        judges=lambda: {"gold": OneHotJudge(), "held_out": OneHotJudge()},
        references=lambda: References(real, labels, Flat(), DIM),
        other_real_images=lambda: (normal(1500, name="other"), np.arange(1500) % DIM),
    )
    return Bench(task, Measures(**{"kid_subset": 50, "kid_subsets": 5, **measures}), Stream(0).at("score"))


def view(of: Bench, final: Tensor | None = None, base: Tensor | None = None, user: Any = None, **given: Any) -> RunView:
    meta = {"task": "digits", "asked": {"settings": {}}} | given.pop("meta", {})
    images = {} if final is None else {"final": final}
    base = normal(64, name="base") if base is None else base
    return RunView(
        of,
        meta,
        given.pop("images", images),
        base,
        given.pop("feedback", [{}]),
        given.pop("rounds", []),
        user or Likes(),
    )


def values(rows: list, stage: str = "final") -> dict[str, float]:
    found = {row.metric: row.value for row in rows if row.stage == stage}
    assert len(found) == len([row for row in rows if row.stage == stage]), "a measure stands there twice"
    return found


# ---------------------------------------------------------------- diversity


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


def one_hot(counts: list[int]) -> Tensor:
    return torch.eye(DIM)[np.repeat(np.arange(DIM), counts)].double()


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


# ---------------------------------------------------------------- fidelity


def test_fid_of_a_set_with_itself_is_nothing() -> None:
    x = normal(1200)
    found = Fidelity.distances(bench(), x, x)
    assert found["fid"] == pytest.approx(0, abs=1e-6) and abs(found["kid"]) < 0.05


def test_fid_of_shifted_and_scaled_gaussians() -> None:
    """|mu - mu'|^2 + tr(C + C' - 2 (C C')^(1/2)), exact for a shifted and scaled copy of the same sample."""
    x = normal(1000)
    shift = torch.tensor([1.0, -2.0, 0.5])
    assert Fidelity.distances(bench(), x, x + shift)["fid"] == pytest.approx(5.25, rel=1e-6)
    spread = torch.cov(x.T).trace().item()
    centred = x - x.mean(0)
    assert Fidelity.distances(bench(), centred, 3 * centred)["fid"] == pytest.approx(4 * spread, rel=1e-6)


def test_fid_of_independent_gaussians_comes_near_the_closed_form() -> None:
    found = Fidelity.distances(bench(), normal(4000), normal(4000, at=1.0, scale=2.0, name="y"))["fid"]
    assert found == pytest.approx(DIM * (1 + 1), rel=0.1)


def test_kid_is_the_same_every_time_and_grows_with_the_shift() -> None:
    x, y = normal(300), normal(300, name="y")
    near, far = (Fidelity.distances(bench(), x, y + shift)["kid"] for shift in (0.0, 2.0))
    state = torch.get_rng_state()
    assert Fidelity.distances(bench(), x, y)["kid"] == near
    assert torch.equal(state, torch.get_rng_state()), "the global generator is left as it was"
    assert abs(near) < 0.2 < far


def test_fid_wants_enough_samples_and_comes_with_its_floor() -> None:
    few = ENOUGH * bench().references.feature_dim - 1  # pyright: ignore[reportOptionalMemberAccess]
    assert Fidelity().measure(view(bench(), normal(few))) == []
    assert Fidelity().measure(view(bench(), normal(few + 1))) != []
    found = values(Fidelity().measure(view(bench(), normal(1000, name="y"))))
    assert set(found) == {f"{k}_{s}{f}" for k in ("fid", "kid") for s in ("all", "preferred") for f in ("", "_floor")}
    assert 0 <= found["fid_all"] < 0.1 and 0 <= found["fid_all_floor"] < 0.1


def test_fid_to_the_base_uses_other_noise_than_the_runs() -> None:
    base = normal(2000, name="base")
    found = values(Fidelity().measure(view(bench(), base[:1000], base)))
    assert 0 < found["fid_base"] < 0.1  # not zero: the first thousand share the run's noise


# ---------------------------------------------------------------- session


def test_session_figures_by_hand() -> None:
    feedback = [
        {"round": 0, "liking": [0.0, None, 0.0]},
        {"round": 1, "liking": [0.0, 1.0, None]},
        {"round": 2, "liking": [None, None, None]},
        {"round": 3, "liking": [1.0, 1.0, 0.0]},
    ]
    rows = Session().measure(view(bench(), feedback=feedback))
    rates = {row.round: row.value for row in rows if row.metric == "like_rate"}
    assert rates == {1: 0.0, 2: 0.5, 4: pytest.approx(2 / 3)}
    assert [row.value for row in rows if row.metric == "regret" and row.stage == "round"] == [2.0, 3.0, 3.0, 4.0]
    # The second item of round 1 is the fifth label; unanswered items cost labels too.
    assert values(rows) == {"regret": 4.0, "labels_to_first_like": 5.0}


def test_graded_answers_count_by_degree() -> None:
    rows = Session().measure(view(bench(), feedback=[{"round": 0, "liking": [0.25, 0.5, 0.75]}]))
    assert values(rows) == {"regret": pytest.approx(1.5), "labels_to_first_like": 3.0}


def test_without_a_like_there_is_no_first_one() -> None:
    rows = Session().measure(view(bench(), feedback=[{"round": 0, "liking": [0.0, 0.0]}]))
    assert math.isnan(values(rows)["labels_to_first_like"])


# ---------------------------------------------------------------- preference


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 4.0, 30.0])
@pytest.mark.parametrize("liked", [1, 3, 9])
def test_predicted_liking_of_a_yes_or_no_user(beta: float, liked: int) -> None:
    p = liked / 10
    run = view(bench(), base=one_hot([liked, 0, 10 - liked]))
    assert predicted_liking(run, beta) == pytest.approx(p * math.exp(beta) / (p * math.exp(beta) + 1 - p))


def test_predicted_liking_of_a_graded_user() -> None:
    s = np.array([0.1, 0.4, 0.9])
    base = torch.from_numpy(np.stack([s, 0 * s, 1 - s], 1))
    expected = (s * np.exp(2 * s)).sum() / np.exp(2 * s).sum()
    assert predicted_liking(view(bench(), base=base), 2.0) == pytest.approx(expected)


def test_preference_is_the_share_that_each_judge_counts_as_liked() -> None:
    final, base = one_hot([4, 2, 2]), one_hot([1, 1, 2])
    rows = Preference().measure(view(bench(per_round=4), final, base))
    assert values(rows)["preference_gold"] == values(rows)["preference_held_out"] == 0.75
    assert values(rows)["over_optimization"] == 0.0
    curve = [(r.round, r.value) for r in rows if r.metric == "preference_gold" and r.stage == "round"]
    assert curve == [(0, 0.5), (1, 1.0)]  # the base's first four, then the final samples' first four
    assert "liking_predicted" not in values(rows)


def test_the_held_out_judge_is_asked_and_not_the_gold_one_twice() -> None:
    class Contrary(OneHotJudge):
        def probabilities(self, images: Tensor) -> np.ndarray:
            return np.roll(super().probabilities(images), 1, axis=1)

    of = bench(per_round=2)
    of.__dict__["judges"] = {"gold": OneHotJudge(), "held_out": Contrary()}
    found = values(Preference().measure(view(of, one_hot([0, 4, 0]))))
    assert found["preference_gold"] == 1.0 and found["preference_held_out"] == 0.0 and found["over_optimization"] == 1.0


def test_every_judge_that_was_never_queried_has_a_preference_of_its_own() -> None:
    of = bench(per_round=2)
    of.__dict__["judges"] = {name: OneHotJudge() for name in ("gold", "held_out", "attributes")}
    found = values(Preference().measure(view(of, one_hot([3, 0, 1]))))
    assert {name for name in found if name.startswith("preference_")} == {
        f"preference_{judge}" for judge in ("gold", "held_out", "attributes")
    }
    assert found["preference_attributes"] == 0.75 and "over_optimization" in found
    alone = values(Preference().measure(view(of, one_hot([3, 0, 1]), user=Likes((0,)))))
    assert alone["preference_attributes"] == 0.75


def test_retention_is_the_share_that_still_is_what_the_prompt_asks_for() -> None:
    of = bench()
    task: Any = of.task
    task.retention = lambda classes: None if 2 in classes else ("a photo of a banana", (2,))
    images = {"final": one_hot([4, 0, 0]), "retention": one_hot([1, 0, 3])}
    found = values(Retention().measure(view(of, images=images)))
    assert found == {"retention_gold": 0.75, "retention_held_out": 0.75}
    assert Retention().measure(view(of, images={"final": images["final"]})) == []
    assert Retention().measure(view(of, images=images, user=Likes((2,)))) == []


def test_samples_of_another_prompt_are_no_stage() -> None:
    run = view(bench(per_round=2), images={"final": one_hot([4, 0, 0]), "retention": one_hot([0, 0, 4])})
    assert [(index, stage) for index, stage, _ in run.stages()] == [(0, "round"), (1, "round"), (1, "final")]


def test_controls_get_their_prediction() -> None:
    asked = {"asked": {"settings": {"reward": "true", "beta_max": 2.0}}}
    found = values(Preference().measure(view(bench(), one_hot([3, 0, 1]), one_hot([1, 0, 3]), meta=asked)))
    assert found["liking_measured"] == 0.75
    assert found["liking_predicted"] == pytest.approx(0.25 * math.e**2 / (0.25 * math.e**2 + 0.75))


# ---------------------------------------------------------------- cost, golden


def test_cost_by_hand() -> None:
    spent = {"forward": 100, "backward": 40, "frozen": 10}
    meta = {
        "labels": 5,
        "peak_memory_mib": 321.0,
        "status": "done",
        "evaluations": {"learning": spent, "total": spent | {"forward": 180}},
    }
    lines = [{"round": "1", "seconds": "2.5", **{name: str(value) for name, value in spent.items()}}]
    found = values(Cost().measure(view(bench(), normal(20), meta=meta, rounds=lines)))
    assert found == {
        "labels": 5,
        **spent,
        "train": 90,
        "peak_memory": 321.0,
        "diverged": 0.0,
        "sample": 4.0,
        "seconds": 2.5,
    }
    lost = values(Cost().measure(view(bench(), meta=meta | {"status": "diverged"})))
    assert lost["diverged"] == 1.0 and "sample" not in lost


@pytest.mark.parametrize("name", ["linear", "quadratic"])
def test_golden_errors_of_exact_samples_are_small_and_of_others_large(name: str, plane: Gmm2d) -> None:
    user = USERS["gmm2d"][name].load()
    user.meet(plane)
    law, log_z = user.tilted(2.0)
    meta = {"task": "gmm2d", "asked": {"settings": {"reward": "true", "beta_max": 2.0}}}
    samples = law.sample(20_000, Stream(0))

    def errors(final: Tensor, found: float) -> dict[str, float]:
        run = view(bench(), final, user=user, meta=meta, rounds=[{"round": "1", "log_z": str(found)}])
        return values(Golden().measure(run))

    right, wrong = errors(samples, log_z), errors(plane.mixture.sample(20_000, Stream(0)), log_z + 0.5)
    for error in ("share_error", "mean_error", "cov_error"):
        assert right[error] < 0.03
    assert right["log_z_error"] == pytest.approx(0) and wrong["log_z_error"] == pytest.approx(0.5)
    assert wrong["mean_error"] > 0.1 and wrong["mean_reward"] < right["mean_reward"]
    assert Golden().measure(view(bench(), normal(10))) == []
