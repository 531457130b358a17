"""PAPA's stratified timesteps: the estimator's mean is the exact sum, and EPAPA keeps the width of the strata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.small_papa import method, update

from papa.benchmark.grid import load
from papa.benchmark.tasks.digits.task import Digits
from papa.methods.papa import EpapaSettings, PapaSettings

ROOT = Path(__file__).parents[3]


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


def test_the_sweep_over_k_changes_k_alone() -> None:
    """In every experiment each k leaves a whole number of strata of PAPA's width."""
    found = 0
    experiments = [file for file in sorted((ROOT / "config").glob("*.yaml")) if file.stem != "ppd_cascade"]
    for file in [ROOT / "config.yaml", *experiments]:
        for label, of in load(file).methods.items():
            settings = of.settings
            if isinstance(settings, PapaSettings) and settings.timesteps != "exact":
                strata = settings.timesteps * (1 - settings.frozen_below)
                assert strata == pytest.approx(round(strata)), (file, label)
                found += settings.frozen_below > 0
    assert found > 10
