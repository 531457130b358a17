"""A preference that is measured on few samples after every round, as a curve that does not fall. Imports no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression


def rising(preference: ArrayLike, samples: ArrayLike) -> np.ndarray:
    """The nearest curve that does not fall, by least squares weighted with the samples behind each point.

    The highest of many noisy points is above the truth; a level counts as reached where this curve reaches it.

    Source:  isotonic regression by pooling adjacent violators, by scipy.
    Args:    preference, samples: (rounds + 1,), from the base to the end.
    Returns: (rounds + 1,).
    """
    return isotonic_regression(np.asarray(preference, dtype=float), weights=np.asarray(samples, dtype=float)).x


def first_at(curve: np.ndarray, level: float) -> int | None:
    """The first round at which a curve reaches a level; None where it never does."""
    there = np.flatnonzero(curve >= level - 1e-12)
    return int(there[0]) if len(there) else None
