"""Errors against the exact answers of the mixture task."""

from __future__ import annotations

import pytest
from support.pixels import bench, normal, values, view
from support.users_of import user_of
from torch import Tensor

from papa.benchmark.metrics.preference import Golden
from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.rng import Stream


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
