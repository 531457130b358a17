"""The declaration of a method: its settings, class, source and capabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from papa.settings import Positive, Settings

if TYPE_CHECKING:
    from papa.methods._finetune import FinetuneSettings
    from papa.methods.interface import Method

Pictures = Literal["grades", "pairs"]
"""Labels of given images: a grade of each (likes and dislikes among them), or which of two is better."""


class MethodSettings(Settings):
    """Settings of every method: its label budget."""

    labels: Positive = 80
    """Label budget B of a run, in items. Every shown item costs one, answered or not."""
    per_round: Positive = 8
    """Items shown per round, k."""
    dial: ClassVar[Literal["weights", "beta_max", "n"] | None] = None
    """Control of the alignment strength without retraining: by the trained weights, or by a setting."""

    @property
    def rounds(self) -> int:
        """Rounds of a run; the last one may be shorter."""
        return -(-self.labels // self.per_round)

    @property
    def candidates(self) -> int:
        """Base samples per returned sample."""
        return 1

    @property
    def needs_oracle(self) -> bool:
        """Whether this is a control that uses the user's true preference function."""
        return False

    @property
    def true_tilt(self) -> float | None:
        """The inverse temperature of a control whose final samples follow the base tilted by the true preference."""
        return None

    @property
    def needs_adapter(self) -> bool:
        """Whether the model must come with a PPD adapter."""
        return False

    @property
    def cannot_begin(self) -> str | None:
        """Why a session with these settings cannot start from labels of given images; None if it can."""
        return None

    @property
    def training(self) -> FinetuneSettings | None:
        """The settings of fine-tuning; None for methods that do not change the model's weights."""
        return None


@dataclass(frozen=True)
class Declaration:
    """A method, as the registry names it.

    Args:
        settings, method: its classes.
        source: the paper that it follows.
        draws: what `sample` returns: base samples ("base"), a choice among base samples ("picked"), or samples of its
            own ("own").
        pictures: which labels of given images it learns from: "grades", "pairs", both, or none.
        uses: modules that compute for it besides its own file and the shared ones, for the key of its runs.
    """

    settings: type[MethodSettings]
    method: type[Method[Any]]
    source: str
    draws: Literal["base", "picked", "own"] = "own"
    pictures: frozenset[Pictures] = frozenset({"grades"})
    uses: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        return self.method.__module__
