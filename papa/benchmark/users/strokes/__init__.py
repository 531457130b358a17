"""Fine-grained users of digits: whatever the digit, the thicker the stroke the better."""

from __future__ import annotations

from papa.benchmark.users.declaration import Taste, UserKind


class StrokeTaste(Taste):
    """Thick strokes."""


STROKES = UserKind(StrokeTaste, "papa.benchmark.users.strokes.user:ThickStrokes", needs="ink")
