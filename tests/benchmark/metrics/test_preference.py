"""Preference and retention: the shares that the judges count, and the preference that is predicted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from support.pixels import Likes, OneHotJudge, bench, normal, one_hot, values, view
from support.users_of import user_of
from torch import Tensor

from papa.benchmark.metrics.preference import Golden, Preference, Retention, predicted_preference
from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.rng import Stream


@pytest.mark.parametrize("beta", [0.0, 1.0, 30.0])
@pytest.mark.parametrize("scores", [[0, 0, 0, 1], [0, 1, 1, 1], [0.1, 0.4, 0.9]])
def test_predicted_preference_is_that_of_the_tilted_base(beta: float, scores: list[float]) -> None:
    s = np.array(scores)
    base = torch.from_numpy(np.stack([s, 0 * s, 1 - s], 1))
    expected = (s * np.exp(beta * s)).sum() / np.exp(beta * s).sum()
    assert predicted_preference(view(bench(), base=base), beta) == pytest.approx(expected)


def test_preference_is_the_share_that_each_judge_counts_as_liked() -> None:
    final, base = one_hot([4, 2, 2]), one_hot([1, 1, 2])
    images = {"final": final, "served": final[:6]}
    rows = Preference().measure(view(bench(per_round=4), base=base, images=images))
    assert values(rows)["preference_gold"] == values(rows)["preference_held_out"] == 0.75
    assert values(rows)["over_optimization"] == 0.0
    curve = [(r.round, r.value) for r in rows if r.metric == "preference_gold" and r.stage == "round"]
    assert curve == [(0, 0.5), (1, 1.0)]  # the first four of the base and of the request in the end
    assert "preference_predicted" not in values(rows)


def test_the_held_out_judge_is_asked_and_not_the_gold_one_twice() -> None:
    class Contrary(OneHotJudge):
        def probabilities(self, images: Tensor) -> np.ndarray:
            return np.roll(super().probabilities(images), 1, axis=1)

    of = bench(per_round=2)
    of.__dict__["judges"] = {"gold": OneHotJudge(), "held_out": Contrary(), "attributes": OneHotJudge()}
    found = values(Preference().measure(view(of, one_hot([0, 4, 0]))))
    assert found["preference_gold"] == 1.0 and found["preference_held_out"] == 0.0 and found["over_optimization"] == 1.0
    assert found["preference_attributes"] == 1.0


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
    images = {"final": one_hot([4, 0, 0]), "served": one_hot([3, 0, 0]), "retention": one_hot([0, 0, 4])}
    run = view(bench(per_round=2), images=images)
    assert [(index, stage) for index, stage, _ in run.stages()] == [(0, "round"), (1, "round"), (1, "final")]
    assert [(stage, len(images)) for _, stage, images in run.requests()] == [("round", 2), ("round", 2), ("final", 3)]


def test_the_gap_of_a_surrogate_is_what_it_promises_less_what_the_user_gives() -> None:
    steps = [{"round": "2", "reward": "9", "gamma": "0"}, {"round": "final", "reward": "1.25", "gamma": "0.0"}]
    final = one_hot([3, 0, 1])
    assert values(Preference().measure(view(bench(), final, trace=steps)))["surrogate_gap"] == pytest.approx(0.5)
    mixed = [steps[0], steps[1] | {"gamma": "0.05"}]
    for other in ({"trace": mixed}, {"trace": steps, "true_tilt": 2.0}, {"trace": []}):
        assert "surrogate_gap" not in values(Preference().measure(view(bench(), final, **other)))


def test_controls_get_their_prediction() -> None:
    found = values(Preference().measure(view(bench(), one_hot([3, 0, 1]), one_hot([1, 0, 3]), true_tilt=2.0)))
    assert found["preference_measured"] == 0.75
    assert found["preference_predicted"] == pytest.approx(0.25 * math.e**2 / (0.25 * math.e**2 + 0.75))


@pytest.mark.parametrize("name", ["linear", "quadratic"])
def test_golden_errors_of_exact_samples_are_small_and_of_others_large(name: str, plane: Gmm2d) -> None:
    user = user_of("gmm2d", name)
    user.calibrate(plane)
    law, log_z = user.tilted(2.0)
    samples = law.sample(20_000, Stream(0))

    def errors(final: Tensor, found: float) -> dict[str, float]:
        run = view(bench(), final, user=user, true_tilt=2.0, rounds=[{"round": "1", "log_z": str(found)}])
        return values(Golden().measure(run))

    right, wrong = errors(samples, log_z), errors(plane.mixture.sample(20_000, Stream(0)), log_z + 0.5)
    for error in ("share_error", "mean_error", "cov_error"):
        assert right[error] < 0.03
    assert right["log_z_error"] == pytest.approx(0) and wrong["log_z_error"] == pytest.approx(0.5)
    assert wrong["mean_error"] > 0.1 and wrong["mean_reward"] < right["mean_reward"]
    assert Golden().measure(view(bench(), normal(10))) == []
