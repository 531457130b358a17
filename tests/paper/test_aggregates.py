"""T9 and the statistics behind it, against published numbers and numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import synthetic

from papa.benchmark.grid import Grid
from papa.paper import select, stats, tables

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


def test_the_area_of_a_straight_line_is_its_middle_whatever_the_points() -> None:
    assert stats.area([0, 8, 80], [0.1, 0.17, 0.8]) == pytest.approx((0.1 + 0.8) / 2, abs=2e-3)
    assert stats.area([0, 40, 80], [0.2, 0.2, 0.2]) == pytest.approx(0.2)
    with pytest.raises(ValueError, match="two points"):
        stats.area([1.0], [1.0])


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


def test_the_front_has_what_nothing_beats_in_both() -> None:
    points = {"a": (0.9, 0.5), "b": (0.5, 0.9), "c": (0.5, 0.5), "d": (0.9, 0.5), "e": (0.7, 0.7)}
    assert stats.front(points) == ["a", "b", "d", "e"]


# ---------------------------------------------------------------- the table


@pytest.fixture(scope="module")
def grid() -> Grid:
    return synthetic.grid(seeds=4)


@pytest.fixture(scope="module")
def table(grid: Grid) -> pd.DataFrame:
    return synthetic.long_table(grid, rounds=4)


def of(frame: pd.DataFrame, method: str, measure: str) -> pd.Series:
    rows = frame[(frame.method == method) & (frame.measure == measure)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_t9_has_the_middle_half_of_all_runs_and_pairs_seeds_and_users(table: pd.DataFrame, grid: Grid) -> None:
    frame = tables.make("T9", table, grid).frame
    checked = select.check(table)
    own, other = (
        select.values(checked, "digits", name, "preference_gold", synthetic.USERS).unstack("user")
        for name in ("fkc-tuned", "papa")
    )
    assert of(frame, "fkc-tuned", "iqm")["mean"] == pytest.approx(stats.interquartile_mean(own.to_numpy()))
    better = stats.probability_of_improvement(own.to_numpy(), other.to_numpy())
    assert of(frame, "fkc-tuned", "better")["mean"] == pytest.approx(better)
    assert of(frame, "fkc-tuned", "difference")["mean"] == pytest.approx((own - other).to_numpy().mean())
    assert of(frame, "papa", "labels_to_level").runs == 4 * len(synthetic.USERS)
    assert 0 < of(frame, "papa", "area")["mean"] < of(frame, "papa", "iqm")["mean"] + 0.1
    assert "better" not in set(frame[frame.method == "papa"].measure)


def test_equal_labels_stand_in_every_row_and_fronts_are_of_one_budget(table: pd.DataFrame) -> None:
    methods = synthetic.METHODS | {"papa-few": {"algorithm": "papa", "labels": 16}}
    block = {"task": "digits", "methods": ["base", "papa", "papa-few"], "users": synthetic.USERS, "seeds": [0, 1]}
    few = synthetic.grid(methods=methods, grid={"main": block})
    made = tables.make("T9", synthetic.long_table(few, rounds=2), few)
    lines = {line.split("|")[1].strip(): line for line in made.markdown.splitlines() if line.startswith("| papa")}
    assert "| 80 |" in " ".join(lines["papa"].split()) and "| 16 |" in " ".join(lines["papa-few"].split())
    assert lines["papa"].rstrip(" |").endswith("yes") and lines["papa-few"].rstrip(" |").endswith("yes")
