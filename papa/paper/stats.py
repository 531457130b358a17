"""Intervals and tests for few seeds: pure functions on arrays and series, by scipy.

The unit is the seed. A value that was measured for several users is averaged over the users within
each seed first (`by_seed`), because the runs of one seed share their noise and are not independent.

Intervals are t intervals at every count. By simulation at 3, 5 and 10 seeds (`tests/paper/test_stats.py`), a nominal
95% covers 95% of normal values and 91 to 92% of values as skewed as shares near one are (Beta(30, 1.5), mean 0.95). A
BCa bootstrap of ten seeds covers 91 and 88%. A t interval on the logit scale, with the delta method, would cover 94 to
95% of the skewed ones, but it has no meaning for differences, distances and costs, which stand in the same tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats as scipy_stats
from scipy.integrate import trapezoid

SAME = 1e-9
"""Differences this small are rounding: values of no spread are compared with this tolerance."""


@dataclass(frozen=True)
class Estimate:
    """A mean over n units with its interval.

    lower and upper are NaN below 2 units. how: "t", "constant" (no spread at all) or "none".
    """

    mean: float
    lower: float
    upper: float
    n: int
    how: str

    @property
    def half_width(self) -> float:
        """Half the interval's width, in the unit of the mean."""
        return (self.upper - self.lower) / 2


def _values(values: ArrayLike) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"expected one value per unit, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("values hold NaN or infinity; leave out (and count) such runs before estimating")
    return array


def estimate(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Mean with a t interval.

    Args:    values: (n,) one value per unit. confidence: level in (0, 1).
    Returns: an `Estimate`; the interval is NaN for n = 1, the mean as well for n = 0.
    Raises:  ValueError on NaN, infinity or a wrong shape.
    """
    array = _values(values)
    n = len(array)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, "none")
    mean = float(array.mean())
    if n == 1:
        return Estimate(mean, math.nan, math.nan, 1, "none")
    if np.ptp(array) <= SAME * max(1.0, abs(mean)):
        return Estimate(mean, mean, mean, n, "constant")
    half = float(scipy_stats.t.ppf((1 + confidence) / 2, n - 1) * array.std(ddof=1) / math.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n, "t")


def paired(values: ArrayLike, reference: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Mean difference of two methods over the same units, with its interval.

    Args:    values, reference: (n,) of the same units in the same order.
    Raises:  ValueError if the lengths differ, or on NaN or infinity.
    """
    left, right = _values(values), _values(reference)
    if left.shape != right.shape:
        raise ValueError(f"paired values need the same units: {len(left)} against {len(right)}")
    return estimate(left - right, confidence)


def p_at_least(values: ArrayLike, threshold: float = 0.0) -> float:
    """One-sided t test of "the mean is at least `threshold`": small p speaks for it.

    H0: mean <= threshold. Values of no spread give 0 or 1: a constant at the threshold meets it.

    Returns: p in [0, 1], NaN below 2 units.
    """
    array = _values(values)
    found = estimate(array)
    if found.how == "none":
        return math.nan
    if found.how == "constant":
        return 0.0 if found.mean >= threshold - SAME else 1.0
    statistic = (found.mean - threshold) / (array.std(ddof=1) / math.sqrt(len(array)))
    return float(scipy_stats.t.sf(statistic, len(array) - 1))


def p_at_most(values: ArrayLike, threshold: float = 0.0) -> float:
    """One-sided t test of "the mean is at most `threshold`"; see `p_at_least`."""
    return p_at_least(-_values(values), -threshold)


def p_below(values: ArrayLike, threshold: float = 0.0) -> float:
    """One-sided t test of "the mean is below `threshold`": a constant at the threshold does not pass."""
    p = p_at_least(values, threshold)
    return math.nan if math.isnan(p) else 1 - p


def p_above(values: ArrayLike, threshold: float = 0.0) -> float:
    """One-sided t test of "the mean is above `threshold`": a constant at the threshold does not pass."""
    return p_below(-_values(values), -threshold)


def p_equivalent(values: ArrayLike, low: float, high: float) -> float:
    """Two one-sided tests (TOST): small p speaks for a mean within [low, high].

    Source:  Schuirmann 1987.
    """
    return float(max(p_at_least(values, low), p_at_most(values, high)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the order given.

    Source:  Holm 1979. Controls the chance of any false rejection over the whole family.
    Returns: adjusted p-values, at least the given ones and at most 1.
    Raises:  ValueError on a p-value outside [0, 1] or NaN.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values lie in [0, 1], got {list(p_values)}")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted.tolist()


@dataclass(frozen=True)
class Reached:
    """How many of n runs reached a level, and the median of what that took over all n; the others are censored.

    median: by Kaplan and Meier; NaN where fewer than half of the runs got there (what the others spent until they ended
    may lie below what it took the first, and would make a median of it).
    """

    count: int
    n: int
    median: float


def reached(spent: ArrayLike, censored: ArrayLike) -> Reached:
    """Median of what it took to reach a level, where some runs ended before they reached it.

    Source:  Kaplan and Meier 1958, by scipy.
    Args:    spent: (n,) up to the level, or up to the end of a run that did not reach it. censored: (n,) which those
             are.
    """
    array, lost = _values(spent), np.asarray(censored, dtype=bool)
    if 2 * (~lost).sum() < len(lost) or lost.all():
        return Reached(int((~lost).sum()), len(array), math.nan)
    surviving = scipy_stats.ecdf(scipy_stats.CensoredData(uncensored=array[~lost], right=array[lost])).sf
    at_most_half = surviving.quantiles[surviving.probabilities <= 0.5]
    return Reached(int((~lost).sum()), len(array), float(at_most_half[0]) if len(at_most_half) else math.nan)


def interquartile_mean(values: ArrayLike) -> float:
    """Mean of the middle half of all values: no single run moves it far, and it uses more of them than the median.

    Source:  Agarwal et al. 2021 (arXiv 2108.13264).
    Args:    values: of any shape, over which all are taken together.
    """
    return float(scipy_stats.trim_mean(_values(np.ravel(np.asarray(values, dtype=np.float64))), 0.25))


def probability_of_improvement(values: ArrayLike, reference: ArrayLike) -> float:
    """How probable it is that a run of one method is better than one of another for the same user; ties count half.

    Source:  Agarwal et al. 2021 (arXiv 2108.13264): Mann and Whitney's U over the pairs, averaged over users.
    Args:    values, reference: (runs, users), of as many users; the numbers of runs may differ.
    Raises:  ValueError if the numbers of users differ, or on NaN or infinity.
    """
    left, right = (np.atleast_2d(np.asarray(array, dtype=np.float64)) for array in (values, reference))
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"as many users on both sides: {left.shape[1]} against {right.shape[1]}")
    each = [
        scipy_stats.mannwhitneyu(_values(x), _values(y)).statistic / (len(x) * len(y))
        for x, y in zip(left.T, right.T, strict=True)
    ]
    return float(np.mean(each))


def area(at: ArrayLike, values: ArrayLike) -> float:
    """Mean height of a curve between its first and its last point, by trapezoids: its area over its width.

    Raises:  ValueError for fewer than two points, or on NaN or infinity.
    """
    x, y = _values(at), _values(values)
    if len(x) < 2 or len(x) != len(y):
        raise ValueError("a curve has two points or more, each with one value")
    return float(trapezoid(y, x) / (x[-1] - x[0]))


def jackknife(units: Sequence[Any], statistic: Callable[[Sequence[Any]], float], confidence: float = 0.95) -> Estimate:
    """A statistic of all units with an interval from leaving out each of them in turn, by t quantiles.

    Source:  Tukey 1958. For smooth statistics, which a trimmed mean is and a median is not; of a mean it is exactly
             `estimate`.
    """
    n = len(units)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, "none")
    whole = float(statistic(units))
    if n == 1:
        return Estimate(whole, math.nan, math.nan, 1, "none")
    left = np.array([statistic([*units[:i], *units[i + 1 :]]) for i in range(n)])
    if np.ptp(left) <= SAME * max(1.0, abs(whole)):
        return Estimate(whole, whole, whole, n, "constant")
    error = math.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum())
    half = float(scipy_stats.t.ppf((1 + confidence) / 2, n - 1)) * error
    return Estimate(whole, whole - half, whole + half, n, "t")


def front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """The names of the points that no other one beats in both coordinates (equal in one, larger in the other)."""
    return [
        name
        for name, (x, y) in points.items()
        if not any((a >= x and b >= y) and (a > x or b > y) for other, (a, b) in points.items() if other != name)
    ]


def by_seed(values: pd.Series, users: Collection[str] | None = None) -> pd.Series:
    """One value per seed: the mean over users, for the seeds that have every user.

    A seed that lacks a user would change the mix of users, so it is left out.

    Args:    values: indexed by (user, seed), finite; one value per index. users: whom a seed must have;
             by default those of `values`.
    Returns: indexed by seed, sorted.
    Raises:  ValueError if an index is there twice.
    """
    if values.index.has_duplicates:
        raise ValueError("a (user, seed) pair occurs twice; a run has one value")
    if values.empty:
        return pd.Series(dtype=np.float64, index=pd.Index([], name="seed"))
    seeds = values.groupby(level="seed")
    wanted = values.index.get_level_values("user").nunique() if users is None else len(users)
    return seeds.mean()[seeds.count() == wanted]
