"""Intervals and tests against closed forms, properties and coverage."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from papa.paper import stats

values = st.lists(st.floats(-100, 100), min_size=2, max_size=9)
probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=12)


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
    assert math.isnan(stats.p_at_least([0.7], 0)) and math.isnan(stats.p_below([0.7], 0))


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
    assert (stats.p_at_most(same, 0.6), stats.p_above(same, 0.6)) == (0, 1)
    assert (stats.p_at_most(same, 0.59), stats.p_above(same, 0.59)) == (1, 0)


def test_pairs_must_match() -> None:
    with pytest.raises(ValueError, match="same units"):
        stats.paired([1.0, 2.0], [1.0])


@given(values, st.floats(-50, 50))
def test_a_shift_moves_the_interval_with_it(data: list[float], shift: float) -> None:
    before, after = stats.estimate(data), stats.estimate(np.array(data) + shift)
    assert after.mean == pytest.approx(before.mean + shift, abs=1e-9)
    assert after.upper - after.lower == pytest.approx(before.upper - before.lower, abs=1e-6)


@given(values)
def test_pairing_ignores_what_both_share(data: list[float]) -> None:
    shared = np.linspace(-5, 5, len(data))
    found = stats.paired(np.array(data) + shared, shared)
    assert found.mean == pytest.approx(float(np.mean(data)), abs=1e-9)


@given(values, st.floats(-50, 50))
def test_the_two_sides_of_a_threshold_share_one_probability(data: list[float], threshold: float) -> None:
    assert stats.p_at_least(data, threshold) + stats.p_below(data, threshold) == pytest.approx(1)
    assert stats.p_at_most(data, threshold) + stats.p_above(data, threshold) == pytest.approx(1)


def test_p_agrees_with_scipy() -> None:
    data = [0.1, 0.3, 0.2, 0.5, 0.15]
    for threshold in (0.0, 0.2, 0.4):
        expected = scipy_stats.ttest_1samp(data, threshold, alternative="greater").pvalue
        assert stats.p_at_least(data, threshold) == pytest.approx(expected)


def test_equivalence_needs_both_sides() -> None:
    tight = np.array([0.01, -0.01, 0.02, 0.0, -0.02])
    assert stats.p_equivalent(tight, -0.1, 0.1) < 0.01
    assert stats.p_equivalent(tight + 0.2, -0.1, 0.1) > 0.9
    assert stats.p_equivalent(tight - 0.2, -0.1, 0.1) > 0.9


def test_holm_by_hand() -> None:
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert stats.holm([]) == []
    with pytest.raises(ValueError):
        stats.holm([0.1, math.nan])


@given(probabilities)
def test_holm_keeps_the_order_and_never_helps(p: list[float]) -> None:
    adjusted = stats.holm(p)
    assert all(a >= b for a, b in zip(adjusted, p, strict=True)) and max(adjusted) <= 1
    assert all(adjusted[i] <= adjusted[j] for i in range(len(p)) for j in range(len(p)) if p[i] < p[j])
    assert all(a <= min(1.0, b * len(p)) + 1e-12 for a, b in zip(adjusted, p, strict=True)), "Bonferroni bounds it"


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
