"""Accept: a reward model learns from labels and lets the first candidate pass that it takes for liked."""

from __future__ import annotations

from papa.methods.best_of_n import BestOfNSettings
from papa.methods.declaration import Declaration
from papa.settings import Fraction, Positive


class AcceptSettings(BestOfNSettings):
    """The first candidate of the base that passes by a surrogate; of none that passes, the best."""

    n: Positive = 16
    """Candidates per returned sample, at most."""
    level: Fraction = 0.5
    """The surrogate score from which a candidate passes."""


ACCEPT = Declaration(
    AcceptSettings, "papa.methods.accept.method:Accept", "rejection by a reward model, a standard", draws="picked"
)
