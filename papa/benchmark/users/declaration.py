"""What a kind of user is, and a user as a configuration describes it. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from papa.benchmark.config import AnswerModel
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
    """A user of a grid: its label, the name of its kind, its taste, and the manner of its answers. then: who it is from
    half of the rounds on, where its taste changes."""

    label: str
    kind: str
    taste: Taste
    answer_model: AnswerModel
    then: UserSpec | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of user that it is, one after the other."""
        return (self.kind, *(() if self.then is None else self.then.kinds))

    @property
    def plain(self) -> bool:
        """Whether answers come as the taste says them: in no other form, not flipped, coloured by moods or left out."""
        return self.answer_model == AnswerModel()

    @property
    def described(self) -> Mapping[str, Any]:
        """Everything that is asked of this user, defaults resolved, JSON-serializable."""
        own = {"user": self.label, "kind": self.kind, "taste": self.taste.model_dump(mode="json")}
        return own | self.answer_model.model_dump() | ({} if self.then is None else {"then": self.then.described})
