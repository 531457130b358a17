"""Accept: a reward model learns from labels, and the first candidate that it predicts to be liked is taken."""

from __future__ import annotations

from papa.methods.best_of_n import BestOfNSettings
from papa.methods.declaration import Declaration
from papa.settings import Fraction, Positive


class AcceptSettings(BestOfNSettings):
    """The first candidate of the base that a surrogate lets pass; if none passes, the one with the highest score."""

    n: Positive = 16
    """Candidates per returned sample, at most."""
    level: Fraction = 0.5
    """The surrogate score from which a candidate passes."""


ACCEPT = Declaration(
    AcceptSettings,
    "papa.methods.accept.method:Accept",
    "rejection by a reward model, a standard",
    draws="picked",
    uses=("papa.methods.best_of_n",),
)
