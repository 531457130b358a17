"""Stratified timesteps: drawn equally often, one in each stratum, and the estimator's mean is the exact sum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.small_papa import method, update

from papa.benchmark.tasks.digits.task import Digits
from papa.diffusion.losses import stratified_timesteps
from papa.methods.papa import EpapaSettings
from papa.rng import Stream


@settings(max_examples=40)
@given(strata=st.integers(1, 30), first=st.integers(0, 50), count=st.integers(1, 150))
def test_every_timestep_is_drawn_equally_often_whether_or_not_k_divides_their_number(
    strata: int, first: int, count: int
) -> None:
    """Integrated over a fine grid of uniforms instead of drawn, so the mean is exact up to the grid."""
    strata, grid = min(strata, count), 4000
    u = np.repeat((np.arange(grid) + 0.5)[:, None] / grid, strata, axis=1)
    drawn = stratified_timesteps(u, first, first + count)
    assert drawn.shape == (grid, strata) and drawn.min() >= first and drawn.max() < first + count
    mean = np.bincount(drawn.flatten().numpy() - first, minlength=count) / grid * count / strata
    assert np.abs(mean - 1).max() <= 2 * count / strata / grid + 1e-9


@given(seed=st.integers(0, 99), strata=st.integers(1, 20))
def test_there_is_one_timestep_in_each_stratum(seed: int, strata: int) -> None:
    drawn = stratified_timesteps(Stream(seed).uniform(4, strata), 0, 20 * strata).numpy()
    assert (drawn // 20 == np.arange(strata)).all()


def test_uniforms_next_to_one_stay_in_range() -> None:
    u = np.full((1, 7), np.nextafter(1.0, 0.0))
    drawn = stratified_timesteps(u, 3, 10)
    assert drawn.min() >= 3 and drawn.max() == 9


@pytest.mark.parametrize("weights", ["uniform", "lambda"])
@pytest.mark.parametrize("strata", [1, 7, 8, 20])
@pytest.mark.parametrize("k", [0.0, 0.4, 0.63])
def test_the_mean_of_the_stratified_estimator_is_the_exact_sum(digits, k: float, strata: int, weights: Any) -> None:
    """Both terms, PAPA's range and EPAPA's, K that divides the number of timesteps and K that does not."""
    draws, r = 4000, 0.7
    exact = method(digits, EpapaSettings, frozen_below=k, weights=weights, timesteps="exact")
    estimator = method(digits, EpapaSettings, frozen_below=k, weights=weights, timesteps=strata)
    f = np.cos(np.arange(exact.total) / 30) + np.arange(exact.total) / 200  # stands for the errors at each timestep
    truth, drawn = exact.pairs(update(digits, [r])), estimator.pairs(update(digits, np.full(draws, r)))
    for name in ("preference", "anchor"):
        wanted = (getattr(truth, name)[0].double().numpy() * f[truth.timesteps[0]]).sum()
        values = (getattr(drawn, name).double().numpy() * f[drawn.timesteps]).sum(1) * draws
        assert abs(values.mean() - wanted) <= 4.5 * values.std() / draws**0.5 + 1e-5 * abs(wanted), name
        assert abs(wanted) > 1e-3


def test_epapa_keeps_papas_stratum_width(digits: Digits) -> None:
    def width(k: float) -> int:
        return method(digits, EpapaSettings, frozen_below=k, timesteps=20).strata

    assert [width(k) for k in (0.0, 0.4, 0.99, 1.0)] == [20, 12, 1, 1]
