"""What a kind of user is, and a user as a configuration describes it. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from papa.benchmark.config import Noise
from papa.benchmark.tasks.declaration import Offer
from papa.registry import Declared
from papa.settings import Settings


class Taste(Settings):
    """Base of the settings of every kind of user: what is liked."""


@dataclass(frozen=True)
class UserKind(Declared):
    """A kind of user, as the registry names it.

    Args:    taste: the class of what it likes. target: "module:Class" of its implementation. needs: what it asks of a
             task.
    """

    taste: type[Taste]
    target: str
    needs: Offer


@dataclass(frozen=True)
class UserSpec:
    """A user of a grid: its label, the name of its kind, its taste, and the noise on its answers."""

    label: str
    kind: str
    taste: Taste
    noise: Noise

    @property
    def noisy(self) -> bool:
        """Whether answers are flipped or left out."""
        return bool(self.noise.flip or self.noise.missing)

    @property
    def described(self) -> Mapping[str, Any]:
        """Everything that is asked of this user, defaults resolved, JSON-serializable."""
        return {"user": self.label, "kind": self.kind, "taste": self.taste.model_dump(mode="json")} | (
            self.noise.model_dump()
        )
