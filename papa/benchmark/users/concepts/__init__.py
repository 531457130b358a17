"""Users of text-to-image tasks: what they like is a set of concepts of the proxy's prompt bank."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from papa.benchmark.users.declaration import Taste, UserKind

Value = str | int
Wanted = Annotated[dict[str, Value | list[Value]], Field(min_length=1)]
"""Attribute -> value, or several: {kind: apple, count: 2}."""


class ConceptTaste(Taste):
    """The concepts that have the wanted attributes."""

    wanted: Wanted
    """Attribute of a concept -> the value that is liked, or several."""
    graded: bool = False
    """Answer with a grade instead of yes or no."""


class UnionTaste(Taste):
    """What one of several members likes."""

    members: Annotated[list[Wanted], Field(min_length=1)]
    """What each member likes, as `wanted` above."""


CONCEPTS = UserKind(ConceptTaste, "papa.benchmark.users.concepts.user:ConceptUser", needs="concepts")
UNION = UserKind(UnionTaste, "papa.benchmark.users.concepts.user:UnionUser", needs="concepts")
