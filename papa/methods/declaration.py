"""What is known of a method without loading it: its settings, its source, and what it does. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from papa.registry import Declared
from papa.settings import Positive, Settings

Pictures = Literal["grades", "pairs"]
"""Labels of pictures: a grade of each, likes and dislikes among them; or which of two is better."""


class Training(Protocol):
    """What is known of a fine-tuning before it starts: how much memory it will take."""

    @property
    def chunk(self) -> int:
        """(item, timestep) pairs per forward pass."""
        ...

    @property
    def trainable(self) -> Literal["all", "lora"]:
        """Every weight, or adapters."""
        ...

    @property
    def gradient_checkpointing(self) -> bool:
        """Whether activations are computed again in the backward pass."""
        ...


class MethodSettings(Settings):
    """What every method has: its label budget."""

    labels: Positive = 80
    """Label budget B of a run, in items. Every shown item costs one, answered or not."""
    per_round: Positive = 8
    """Items shown per round, k."""
    dial: ClassVar[Literal["weights", "beta_max", "n"] | None] = None
    """What changes the strength of the result without new training: the trained weights, or one of the settings."""

    @property
    def rounds(self) -> int:
        """Rounds of a run; the last one may be shorter."""
        return -(-self.labels // self.per_round)

    @property
    def candidates(self) -> int:
        """How many of the shared base samples one returned sample takes."""
        return 1

    @property
    def needs_oracle(self) -> bool:
        """Whether this is a control that is handed the user's true preference function."""
        return False

    @property
    def true_tilt(self) -> float | None:
        """The inverse temperature of a control whose final samples follow the base tilted by the true preference."""
        return None

    @property
    def needs_adapter(self) -> bool:
        """Whether the model must come with an adapter that is told about a person."""
        return False

    @property
    def cannot_begin(self) -> str | None:
        """Why a session with these settings cannot begin with labels of pictures that exist already; None if it can."""
        return None

    @property
    def training(self) -> Training | None:
        """How the model is fine-tuned; None for methods that leave its weights as they are."""
        return None


@dataclass(frozen=True)
class Declaration(Declared):
    """A method, as the registry names it.

    Args:    settings: the class of its settings. target: "module:Class" of its implementation. source: the paper or
             document that it follows. draws: what `sample` returns: the base's samples ("base"), some that it picks
             among the base's ("picked"), or its own ("own"). pictures: from which labels of pictures that it did not
             draw it learns: "grades" (likes and dislikes among them), "pairs", both, or none at all. uses: modules that
             compute for it besides its own file and the shared ones, for the key of its runs.
    """

    settings: type[MethodSettings]
    target: str
    source: str
    draws: Literal["base", "picked", "own"] = "own"
    pictures: frozenset[Pictures] = frozenset({"grades"})
    uses: tuple[str, ...] = ()
