"""What the page sends, and what it is answered. Whatever is not of this form is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

TAKEN = "taken"
"""The step is on the disk."""
KNOWN = "known"
"""The step was sent before, and is on the disk."""
NEWER = "newer"
"""Another tab went on, or the round is another one by now; the step was not taken."""
LATER = "later"
"""The pictures of this round are not there yet, after a start; the step and those after it are to be sent again."""

Count = Annotated[int, Field(ge=0, lt=10**9, strict=True)]
Name = Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]


class Form(BaseModel):
    """Base of what is sent: no unknown entries."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SentStep(Form):
    """A keystroke. client: the page, in one tab. seq: its number there, from 1. seen: version of the draft that the
    page knew. answer: None takes an answer away."""

    op: Literal["rate", "confirm", "undo"]
    client: Name
    seq: Annotated[int, Field(ge=1, lt=10**9, strict=True)]
    seen: Count
    round: Count = 0
    item: Count | None = None
    answer: Annotated[str, Field(max_length=16)] | None = None


class Sent(Form):
    """Keystrokes, in order."""

    steps: Annotated[list[SentStep], Field(min_length=1, max_length=100)]


class Turned(Form):
    """A new value of the dial."""

    value: Annotated[float, Field(ge=-1e6, le=1e6)]


class Wanted(Form):
    """What is to be written."""

    what: Literal["model", "answers"]


class Deletion(Form):
    """The words that were typed."""

    typed: Annotated[str, Field(max_length=100)]


class Nothing(Form):
    """A post that says nothing."""


@dataclass(frozen=True)
class Reply:
    """What became of each step, in order; fewer than were sent where there is an error, or where the rest comes too
    early."""

    results: list[str]
    error: str | None = None
