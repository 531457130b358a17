"""Fine-grained users of digits: whatever the digit, they look at the thickness of its strokes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from papa.benchmark.users.declaration import Taste, UserKind
from papa.settings import Rate


class StrokeTaste(Taste):
    """Thick strokes, or strokes of one thickness."""

    best: Annotated[float, Field(ge=-3, le=3)] | None = None
    """The thickness that is liked best, in standard deviations above the real images' mean; None: the thicker the
    better."""
    width: Rate = 0.5
    """With `best`: the preference of strokes that are so many standard deviations thicker or thinner is 0.61."""


STROKES = UserKind(StrokeTaste, "papa.benchmark.users.strokes.user:Strokes", needs="ink")
"""A fine-grained user on `digits` and `mnist`, who answers with grades."""
