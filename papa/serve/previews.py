"""Previews: images of the model before learning and now, from the same noise, and the dial.

Only the worker thread samples; each result is set in one assignment, so it may be read at any time.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from papa.diffusion.denoiser import Cost
from papa.errors import ModelError
from papa.models.interface import Model
from papa.serve.dial import Dial, dial_of, session_at
from papa.session import Session

N = 6
"""Images of a preview."""


def pngs(model: Model, images: Tensor) -> list[bytes]:
    """(n, C, H, W) images in [-1, 1], C = 1 or 3 -> n PNG files.

    Raises:
        ModelError: for a model whose items are not images.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ModelError("this model does not generate images, so the page cannot show them; use `papa.Session`.")
    files = []
    for item in model.pack(images):
        image = np.repeat(item, 3 // len(item), axis=0).transpose(1, 2, 0)
        Image.fromarray(np.ascontiguousarray(image)).save(file := io.BytesIO(), format="PNG")
        files.append(file.getvalue())
    return files


@dataclass(frozen=True)
class Preview:
    """Images of the model (PNG files)."""

    images: list[bytes]
    after: int = 0
    """Number of rounds learned."""
    value: float | None = None
    """Of the dial."""
    method: object = None
    """The method that sampled them; a reopened round makes another one."""
    stamp: int = 0
    """Differs between different images."""


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
