"""The preference along the rounds, as a curve that does not fall."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import synthetic

from papa.paper.curve import first_at, fitted, rising


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0, 1))
def test_the_curve_never_falls_and_keeps_its_mean(points: list[float], level: float) -> None:
    behind = [32] * (len(points) - 1) + [1024]
    curve = pd.Series(fitted(points, behind))
    assert (np.diff(curve) >= -1e-12).all()
    assert np.average(curve, weights=behind) == pytest.approx(np.average(points, weights=behind))
    there = first_at(curve, level)
    assert (there is None) == (curve.iloc[-1] < level - 1e-12)
    assert there is None or curve.iloc[there] >= level - 1e-9


def curve_of(points: list[float], method: str = "papa") -> pd.Series:
    """The curve of one run with these preferences, the last one of its final samples."""
    axes = {
        "task": "digits",
        "method": method,
        "user": "likes-3",
        "seed": 0,
        "metric": "preference_gold",
        "lost": False,
    }
    rows = [axes | {"round": index, "stage": "round", "value": value} for index, value in enumerate(points)]
    table = pd.DataFrame([*rows, rows[-1] | {"stage": "final"}])
    return rising(table, synthetic.grid(), "digits", method, "likes-3")[0]


def test_a_lucky_round_reaches_no_level() -> None:
    lucky = curve_of([0.3, 0.7, 0.85, 0.6, 0.7])
    assert first_at(lucky, 0.8) is None and lucky.iloc[2] < 0.75
    steady = curve_of([0.3, 0.7, 0.85, 0.82, 0.9])
    assert first_at(steady, 0.8) == 2 and steady.is_monotonic_increasing


def test_a_method_with_fewer_final_samples_has_a_lighter_last_point() -> None:
    """1,024 final samples of PAPA, 256 of best of 16: the point before is pulled down further by more of them."""
    points = [0.3, 0.9, 0.6]
    of = {method: curve_of(points, method).iloc[1] for method in ("papa", "best_of_16")}
    assert of["papa"] == pytest.approx((64 * 0.9 + 1024 * 0.6) / 1088, abs=0.02) and of["papa"] < of["best_of_16"]
