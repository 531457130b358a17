"""What the page sends: keystrokes, numbered by the page. Unknown entries are refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

TAKEN = "taken"
"""The step is on disk."""
KNOWN = "known"
"""The step was sent before and is on disk."""
NEWER = "newer"
"""Not taken: another tab made a step, or that round is no longer open."""
LATER = "later"
"""The images of this round are not ready yet (after a start); this step and those after it are to be sent again."""

Count = Annotated[int, Field(ge=0, lt=10**9, strict=True)]


class Form(BaseModel):
    """Base of everything that is sent."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Step(Form):
    """A keystroke.

    Args:
        client: one page in one tab.
        seq: number of the step in that page, from 1.
        seen: version of the draft that the page knew.
        item: the unit that is rated; answer: None clears it.
    """

    op: Literal["rate", "confirm", "undo"]
    client: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]
    seq: Annotated[int, Field(ge=1, lt=10**9, strict=True)]
    seen: Count
    round: Count = 0
    item: Count | None = None
    answer: Annotated[str, Field(max_length=16)] | None = None


class Steps(Form):
    """Keystrokes, in order."""

    steps: Annotated[list[Step], Field(min_length=1, max_length=100)]
