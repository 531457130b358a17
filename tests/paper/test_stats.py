"""Intervals and tests against closed forms, properties and coverage."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from support import synthetic

from papa.paper import select, stats

values = st.lists(st.floats(-100, 100), min_size=2, max_size=9)


def test_t_interval_in_closed_form() -> None:
    found = stats.estimate([1.0, 2.0, 3.0])
    half = 4.302652729911275 / math.sqrt(3)  # t(0.975, 2) times sd 1 over sqrt 3
    assert found.mean == pytest.approx(2)
    assert (found.lower, found.upper) == pytest.approx((2 - half, 2 + half))
    assert (found.n, found.how) == (3, "t")
    assert found.half_width == pytest.approx(half)


def test_one_seed_has_a_mean_and_no_interval() -> None:
    found = stats.estimate([0.7])
    assert found.mean == 0.7 and math.isnan(found.lower) and math.isnan(found.upper)
    assert math.isnan(stats.p_at_least([0.7], 0))


def test_no_seed_has_nothing() -> None:
    assert math.isnan(stats.estimate([]).mean) and stats.estimate([]).n == 0


@pytest.mark.parametrize("bad", [[1.0, math.nan], [math.inf, 1.0], [[1.0], [2.0]]])
def test_bad_values_are_refused(bad: list) -> None:
    with pytest.raises(ValueError):
        stats.estimate(bad)


def test_no_spread_gives_a_point_and_a_certain_answer() -> None:
    same = [0.6] * 12
    found = stats.estimate(same)
    assert (found.mean, found.lower, found.upper) == pytest.approx((0.6, 0.6, 0.6))
    assert (found.n, found.how) == (12, "constant")
    assert (stats.p_at_most(same, 0.6), stats.p_at_most(same, 0.59), stats.p_at_least(same, 0.6)) == (0, 1, 0)


@given(values, st.floats(-50, 50))
def test_a_shift_moves_the_interval_with_it(data: list[float], shift: float) -> None:
    before, after = stats.estimate(data), stats.estimate(np.array(data) + shift)
    assert after.mean == pytest.approx(before.mean + shift, abs=1e-9)
    assert after.upper - after.lower == pytest.approx(before.upper - before.lower, abs=1e-6)


def test_p_agrees_with_scipy() -> None:
    data = [0.1, 0.3, 0.2, 0.5, 0.15]
    for threshold in (0.0, 0.2, 0.4):
        expected = scipy_stats.ttest_1samp(data, threshold, alternative="greater").pvalue
        assert stats.p_at_least(data, threshold) == pytest.approx(expected)
        assert stats.p_at_most(data, threshold) == pytest.approx(1 - expected)


def test_welch_agrees_with_scipy() -> None:
    first, second = [0.1, 0.3, 0.2, 0.5], [0.6, 0.4, 0.8]
    half, p = stats.welch(*((np.mean(of), np.std(of, ddof=1), len(of)) for of in (first, second)))
    test = scipy_stats.ttest_ind(first, second, equal_var=False)
    interval = test.confidence_interval(0.95)
    assert p == pytest.approx(test.pvalue) and half == pytest.approx((interval.high - interval.low) / 2)
    assert stats.welch((1.0, 0.0, 3), (1.0, 0.0, 3)) == (0, 1) and stats.welch((1.0, 0.0, 3), (2.0, 0.0, 3)) == (0, 0)


def test_holm_by_hand() -> None:
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert stats.holm([]) == []


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_intervals_cover_what_they_promise(n: int) -> None:
    """4,000 sets of n values: a nominal 95% covers 94% and more of normal ones, and 90% of shares near one."""
    draw = np.random.default_rng(n)
    kinds = {"normal": (draw.normal(0.8, 0.1, (4000, n)), 0.8), "skewed": (draw.beta(30, 1.5, (4000, n)), 30 / 31.5)}
    covered = {
        kind: np.mean([found.lower <= mean <= found.upper for found in map(stats.estimate, rows)])
        for kind, (rows, mean) in kinds.items()
    }
    assert 0.94 <= covered["normal"] <= 0.96
    assert 0.90 <= covered["skewed"] <= 0.94


def test_what_it_took_to_reach_a_level_by_hand() -> None:
    """Of eight runs five got there; at each time the share that is not there yet falls by those at risk."""
    spent = [8, 16, 16, 24, 24, 40, 80, 80]
    censored = [False, False, False, False, True, False, True, True]
    found = stats.reached(spent, censored)  # 7/8, 5/8, 5/8 * 4/5 = 1/2 at 24
    assert (found.count, found.n, found.median) == (5, 8, 24)
    assert stats.reached([8, 80, 80], [False, True, True]).count == 1
    assert math.isnan(stats.reached([8, 80, 80], [False, True, True]).median)
    assert stats.reached([80, 80], [True, True]).count == 0
    early = stats.reached([16.0, 15.0, 14.0], [False, True, True])  # seconds: the two that never got there were faster
    assert early.count == 1 and math.isnan(early.median)
    assert stats.reached([8, 16, 24], [False] * 3).median == 16


def test_a_run_that_ends_early_is_no_run_that_never_gets_there() -> None:
    """Censored before the others arrive, it counts neither for nor against."""
    assert stats.reached([8, 30, 30, 30], [True, False, False, False]).median == 30


def pairs(entries: dict[tuple[str, int], float]) -> pd.Series:
    return pd.Series(entries).rename_axis(["user", "seed"])


def test_the_unit_is_the_seed() -> None:
    found = stats.by_seed(pairs({("a", 0): 1.0, ("b", 0): 3.0, ("a", 1): 5.0, ("b", 1): 7.0}))
    assert found.to_dict() == {0: 2.0, 1: 6.0}


def test_a_seed_without_every_user_is_left_out() -> None:
    found = stats.by_seed(pairs({("a", 0): 1.0, ("b", 0): 3.0, ("a", 1): 5.0}))
    assert found.to_dict() == {0: 2.0}
    assert stats.by_seed(pairs({("a", 0): 1.0}).iloc[:0]).empty


def test_a_pair_that_occurs_twice_is_refused() -> None:
    twice = pd.concat([pairs({("a", 0): 1.0}), pairs({("a", 0): 2.0})])
    with pytest.raises(ValueError, match="twice"):
        stats.by_seed(twice)


# ---------------------------------------------------------------- aggregates (T9)


RELIABLE = np.array([[1, 2], [2, 2], [1, 1], [2, 1]]), np.array([[1, 1], [2, 2], [3, 3]])
"""Scores of two methods, runs by tasks, from the tests of the library that came with arXiv 2108.13264."""


def test_the_published_values_of_the_interquartile_mean_and_the_probability_of_improvement() -> None:
    x, y = RELIABLE
    assert (stats.interquartile_mean(x), stats.interquartile_mean(y)) == (1.5, 2.0)
    assert stats.probability_of_improvement(x, y) == pytest.approx(1 / 3)


def test_one_outlier_does_not_move_the_interquartile_mean() -> None:
    plain = np.linspace(0.4, 0.6, 12)
    assert stats.interquartile_mean([*plain[:-1], 100.0]) == pytest.approx(stats.interquartile_mean(plain))


@given(st.lists(st.integers(0, 20), min_size=2, max_size=8), st.lists(st.integers(0, 20), min_size=2, max_size=8))
def test_the_probability_counts_pairs_and_ties_half(x: list[int], y: list[int]) -> None:
    counted = np.mean([(a > b) + 0.5 * (a == b) for a in x for b in y])
    found = stats.probability_of_improvement(np.array(x)[:, None], np.array(y)[:, None])
    assert found == pytest.approx(counted)
    assert found + stats.probability_of_improvement(np.array(y)[:, None], np.array(x)[:, None]) == pytest.approx(1)


@given(st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=3, max_size=9))
def test_the_jackknife_of_a_mean_is_the_t_interval(values: list[float]) -> None:
    found, exact = stats.jackknife(values, lambda chosen: float(np.mean(chosen))), stats.estimate(values)
    assert found.mean == pytest.approx(exact.mean, abs=1e-9)
    assert found.lower == pytest.approx(exact.lower, abs=1e-6) and found.upper == pytest.approx(exact.upper, abs=1e-6)


def test_the_jackknife_of_the_middle_half_covers_it() -> None:
    """Ten seeds of two users, 1,000 times: the interval covers the true middle half's mean in 90 to 98%."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(1000):
        units = list(rng.normal(0.6, 0.1, (10, 2)))
        found = stats.jackknife(units, lambda chosen: stats.interquartile_mean(np.stack(chosen)))
        covered += found.lower <= 0.6 <= found.upper
    assert 900 < covered < 980


# ---------------------------------------------------------------- curves that do not fall


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0, 1))
def test_the_curve_never_falls_and_keeps_its_mean(points: list[float], level: float) -> None:
    behind = [32] * (len(points) - 1) + [1024]
    curve = pd.Series(stats.rising(points, behind))
    assert (np.diff(curve) >= -1e-12).all()
    assert np.average(curve, weights=behind) == pytest.approx(np.average(points, weights=behind))
    there = select.first_at(curve, level)
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
    return select.rising(table, synthetic.grid(), "digits", method, "likes-3")[0]


def test_a_lucky_round_reaches_no_level() -> None:
    lucky = curve_of([0.3, 0.7, 0.85, 0.6, 0.7])
    assert select.first_at(lucky, 0.8) is None and lucky.iloc[2] < 0.75
    steady = curve_of([0.3, 0.7, 0.85, 0.82, 0.9])
    assert select.first_at(steady, 0.8) == 2 and steady.is_monotonic_increasing


def test_a_method_with_fewer_final_samples_has_a_lighter_last_point() -> None:
    """1,024 final samples of PAPA, 256 of best of 16: the point before is pulled down further by more of them."""
    points = [0.3, 0.9, 0.6]
    of = {method: curve_of(points, method).iloc[1] for method in ("papa", "best_of_16")}
    assert of["papa"] == pytest.approx((64 * 0.9 + 1024 * 0.6) / 1088, abs=0.02) and of["papa"] < of["best_of_16"]
