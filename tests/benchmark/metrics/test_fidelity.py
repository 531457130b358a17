"""FID and KID against closed forms, their floors, and the base."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.pixels import DIM, Likes, bench, normal, values, view

from papa.benchmark.metrics.fidelity import ENOUGH, Fidelity


def test_fid_of_shifted_and_scaled_gaussians() -> None:
    """|mu - mu'|^2 + tr(C + C' - 2 (C C')^(1/2)), exact for a shifted and scaled copy of the same sample."""
    x = normal(1000)
    assert Fidelity.distances(bench(), x, x)["fid"] == pytest.approx(0, abs=1e-6)
    shift = torch.tensor([1.0, -2.0, 0.5])
    assert Fidelity.distances(bench(), x, x + shift)["fid"] == pytest.approx(5.25, rel=1e-6)
    spread = torch.cov(x.T).trace().item()
    centred = x - x.mean(0)
    assert Fidelity.distances(bench(), centred, 3 * centred)["fid"] == pytest.approx(4 * spread, rel=1e-6)


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


def test_fid_wants_more_real_images_than_dimensions() -> None:
    labels = np.where(np.arange(1200) < DIM, 0, 2)  # as many preferred ones as dimensions
    found = values(Fidelity().measure(view(bench(labels=labels), normal(1000, name="y"), user=Likes((0,)))))
    assert "fid_all" in found and "fid_preferred" not in found


def test_fid_to_the_base_uses_other_noise_than_the_runs() -> None:
    base = normal(2000, name="base")
    found = values(Fidelity().measure(view(bench(), base[:1000], base)))
    assert 0 < found["fid_base"] < 0.1  # not zero: the first thousand share the run's noise
