"""The preference along the rounds as a curve that does not fall: the highest of many noisy points is above the truth.

A round's preference is measured on few samples. A level counts as reached where this curve reaches it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from papa.benchmark.grid import Grid
from papa.paper import select

PREFERENCE = "preference_gold"


def rising(table: pd.DataFrame, grid: Grid, task: str, method: str, user: str) -> dict[int, pd.Series]:
    """Seed -> the gold preference from the base to the end, as the nearest curve that does not fall, by round."""
    measures = grid.measures(task)
    last = measures.final_of(grid.methods[method].settings.candidates)
    found = {}
    for seed, curve in select.curves(table, task, method, PREFERENCE, user).items():
        points = curve.dropna()
        behind = [measures.per_round] * (len(points) - 1) + [last]
        found[seed] = pd.Series(fitted(points, behind), index=points.index)
    return found


def fitted(points: ArrayLike, samples: ArrayLike) -> np.ndarray:
    """The nearest values that do not fall, by least squares weighted with the samples behind each point.

    Source:  isotonic regression by pooling adjacent violators, by scipy.
    Args:    points, samples: (rounds + 1,).
    """
    return isotonic_regression(np.asarray(points, dtype=float), weights=np.asarray(samples, dtype=float)).x


def first_at(curve: pd.Series, level: float) -> int | None:
    """The place of the first round at which a curve reaches a level; None where it never does."""
    there = np.flatnonzero(curve.to_numpy() >= level - 1e-12)
    return int(there[0]) if len(there) else None
