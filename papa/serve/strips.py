"""What the model draws before it learned anything, and now: two strips of pictures from the same noise, and the dial.

Only the worker draws; what is drawn is put in place in one assignment, so that it may be read at any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from papa.diffusion.denoiser import Cost
from papa.serve.dial import Dial, dial_of, session_at
from papa.serve.pictures import pngs
from papa.session import Session

PICTURES = 6
"""Pictures of a strip."""


@dataclass(frozen=True)
class Strip:
    """What the model draws. after: how many rounds it had learned from. value: of the dial. by: the method, another one
    after a round was reopened. stamp: another one for other pictures."""

    pictures: list[bytes]
    after: int = 0
    value: float | None = None
    by: object = None
    stamp: int = 0


class Strips:
    """The two strips of a session, "before" and "now"."""

    def __init__(self) -> None:
        self.drawn: dict[str, Strip] = {}
        self._dial: Dial | None = None
        self._value: float | None = None

    def turn(self, value: float) -> None:
        """Set the dial, to the nearest value of its range."""
        if self._dial is not None:
            self._value = self._dial.clip(value)

    def lacks_before(self) -> bool:
        """Whether the base's pictures are still to be drawn."""
        return "before" not in self.drawn

    def draw_before(self, session: Session) -> None:
        """Draw what the base draws. It does not depend on the answers."""
        # Not `base_latents`, which draws whole forward passes: as many as `sample` draws, from the same noise.
        model, noise = session.model, session.method.stream.at("sample")
        pictures = pngs(model, model.decode(session.method.draw(model.denoiser(Cost()), PICTURES, noise)))
        self.drawn["before"] = Strip(pictures)

    def lacks_now(self, session: Session) -> bool:
        """Whether the pictures of what was learned so far, at the dial's value, are still to be drawn."""
        self._dial = dial_of(session.method) if session.round else None
        if session.round == 0:
            self.drawn.pop("now", None)
            return False
        now = self.drawn.get("now")
        return now is None or now.by is not session.method or (now.after, now.value) != (session.round, self.value)

    @property
    def value(self) -> float | None:
        """Where the dial stands; None without one."""
        if self._dial is None:
            return None
        return self._dial.default if self._value is None else self._dial.clip(self._value)

    def draw_now(self, session: Session, stamp: int) -> None:
        """Draw what the model draws now, at the dial's value."""
        value = self.value
        pictures = pngs(session.model, session_at(session, value).sample(PICTURES))
        self.drawn["now"] = Strip(pictures, session.round, value, session.method, stamp)

    def picture(self, which: str, item: int) -> bytes | None:
        """The PNG of a strip; None where there is none."""
        here = self.drawn.get(which)
        return here.pictures[item] if here is not None and item < len(here.pictures) else None

    def state(self) -> dict[str, Any]:
        """What the page is told: the strips, and the dial or None."""
        told = {
            name: {"n": len(strip.pictures), "after": strip.after, "value": strip.value, "stamp": strip.stamp}
            for name, strip in self.drawn.copy().items()
        }
        shown = ("name", "help", "least", "most", "step")
        dial, value = self._dial, self.value
        turned = None if dial is None else {name: getattr(dial, name) for name in shown} | {"value": value}
        return {"strips": told, "dial": turned}
