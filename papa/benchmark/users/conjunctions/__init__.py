"""Users who like a conjunction: pictures that have every wanted attribute. The more of them, the rarer the like."""

from __future__ import annotations

from papa.benchmark.users.concepts import Wanted
from papa.benchmark.users.declaration import Taste, UserKind


class ConjunctionTaste(Taste):
    """Pictures that have all wanted attributes."""

    wanted: Wanted
    """Attribute of a picture -> the value that is liked, or several; a picture is liked where all of them fit."""


CONJUNCTION = UserKind(ConjunctionTaste, "papa.benchmark.users.conjunctions.user:ConjunctionUser", needs="attributes")
"""A user who likes a conjunction of attributes."""
