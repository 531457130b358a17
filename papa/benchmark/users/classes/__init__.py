"""Users who like some classes: the paper's digits {1, 4, 7, 9} and others."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from papa.benchmark.users.declaration import Taste, UserKind


class ClassTaste(Taste):
    """Some classes of the task's gold judge."""

    classes: Annotated[tuple[Annotated[int, Field(ge=0, le=10**6, strict=True)], ...], Field(min_length=1)]
    """The classes that are liked."""


CLASSES = UserKind(ClassTaste, "papa.benchmark.users.classes.user:ClassUser", needs="classes")
