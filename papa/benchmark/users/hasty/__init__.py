"""A user whose labels come from a judge that was trained in haste, on few pictures: its mistakes can be exploited."""

from __future__ import annotations

from papa.benchmark.users.concepts import Wanted
from papa.benchmark.users.declaration import Taste, UserKind


class HastyTaste(Taste):
    """The concepts that have the wanted attributes, as the hasty judge sees them."""

    wanted: Wanted
    """Attribute of a concept -> the value that is liked, or several."""


HASTY = UserKind(HastyTaste, "papa.benchmark.users.hasty.user:HastyUser", needs="hasty")
"""A user who is judged in haste."""
