"""Previews: images of the model before learning and now, from the same noise, and the dial.

Only the worker thread samples; each result is set in one assignment, so it may be read at any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from papa.diffusion.denoiser import Cost
from papa.serve.dial import Dial, dial_of, session_at
from papa.serve.images import pngs
from papa.session import Session

N = 6
"""Images of a preview."""


@dataclass(frozen=True)
class Preview:
    """Images of the model.

    Args:
        images: PNG files.
        after: rounds learned.
        value: of the dial.
        method: the method that sampled them; a reopened round makes another one.
        stamp: differs between different images.
    """

    images: list[bytes]
    after: int = 0
    value: float | None = None
    method: object = None
    stamp: int = 0


class Previews:
    """The previews "before" and "now" of a session."""

    def __init__(self) -> None:
        self.ready: dict[str, Preview] = {}
        self._dial: Dial | None = None
        self._value: float | None = None

    def turn(self, value: float) -> None:
        """Set the dial, within its range."""
        if self._dial is not None:
            self._value = self._dial.clip(value)

    @property
    def value(self) -> float | None:
        """Value of the dial; None without one."""
        if self._dial is None:
            return None
        return self._dial.default if self._value is None else self._dial.clip(self._value)

    def lacks_now(self, session: Session) -> bool:
        """Whether "now" is out of date."""
        self._dial = dial_of(session.method) if session.round else None
        if session.round == 0:
            self.ready.pop("now", None)
            return False
        now = self.ready.get("now")
        return now is None or now.method is not session.method or (now.after, now.value) != (session.round, self.value)

    def sample_before(self, session: Session) -> None:
        """Sample the base, from the noise of `session.sample`. It does not depend on the answers."""
        model, noise = session.model, session.method.stream.at("sample")
        latents = session.method.draw(model.denoiser(Cost()), N, noise)
        self.ready["before"] = Preview(pngs(model, model.decode(latents)))

    def sample_now(self, session: Session, stamp: int) -> None:
        """Sample the aligned model, at the value of the dial."""
        value = self.value
        images = pngs(session.model, session_at(session, value).sample(N))
        self.ready["now"] = Preview(images, session.round, value, session.method, stamp)

    def image(self, which: str, item: int) -> bytes | None:
        """A PNG file, or None."""
        here = self.ready.get(which)
        return here.images[item] if here is not None and item < len(here.images) else None

    def state(self) -> dict[str, Any]:
        """The part of the page's state: previews, and the dial or None."""
        previews = {
            name: {"n": len(here.images), "after": here.after, "value": here.value, "stamp": here.stamp}
            for name, here in self.ready.copy().items()
        }
        dial, value = self._dial, self.value
        return {"previews": previews, "dial": None if dial is None else vars(dial) | {"value": value}}
