"""Persons of the simulated population: graded tastes over every attribute of a picture."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from papa.benchmark.users.declaration import Taste, UserKind


class MemberTaste(Taste):
    """A person of `papa.benchmark.personal.population`."""

    number: Annotated[int, Field(ge=0, lt=10**6)]
    """Which person. 0 to 299 were there when the shipped adapter was trained, 300 to 399 were not."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Share of pictures of known concepts that are liked, where the answer is yes or no."""
    graded: bool = False
    """Answer with a grade instead of yes or no."""


MEMBER = UserKind(MemberTaste, "papa.benchmark.users.members.user:Member", needs="attributes")
