"""Users of text-to-image tasks who prefer some concepts of the task's prompt bank."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from papa.benchmark.users.classes import ClassUser
from papa.benchmark.users.interface import Taste, User, UserKind
from papa.errors import PapaError
from papa.feedback import Feedback, Kind
from papa.rng import Stream

if TYPE_CHECKING:
    from torch import Tensor

    from papa.benchmark.tasks.interface import LabelsConcepts
    from papa.benchmark.tasks.prompts import ClipJudge

LEAST_GAP = 1e-4
"""Smallest difference of a graded user's mean preference between images of preferred and of other concepts."""

Value = str | int
Wanted = Annotated[dict[str, Value | list[Value]], Field(min_length=1)]
"""Attribute -> value, or several: {kind: apple, count: 2}."""


class WantedTaste(Taste):
    """What has all of the wanted attributes."""

    wanted: Wanted
    """Attribute -> the preferred value, or several."""


class ConceptTaste(WantedTaste):
    """The concepts that have the wanted attributes."""

    graded: bool = False
    """Answer with a grade instead of yes or no."""


class UnionTaste(Taste):
    """The concepts that any of several members prefers."""

    members: Annotated[list[Wanted], Field(min_length=1)]
    """The taste of each member, as `wanted` above."""


class ConceptUserBase(User):
    """Prefers some concepts, by the judgement of the task's proxy.

    Binary answers compare the best prompt of all with the user's concepts. A threshold on the preference would not do:
    at a low temperature the softmax is nearly uniform.
    """

    _proxy: ClipJudge

    @abstractmethod
    def of_concepts(self, shares: Tensor) -> Tensor:
        """(n, concepts) probabilities -> (n,) preference."""

    def preference(self, images: Tensor) -> Tensor:
        return self.of_concepts(self._proxy(images))

    def verdict(self, images: Tensor) -> np.ndarray:
        return self.decide(*self.judge(images))

    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) best concepts and (n,) preferences, on the CPU, from one pass over the images."""
        similarity = self._proxy.similarity(images).detach()
        shares = (self._proxy.temperature * similarity).softmax(1)
        return similarity.argmax(1).cpu(), self.of_concepts(shares).detach().cpu()

    def decide(self, best: Tensor, preference: Tensor) -> np.ndarray:
        """(n,) answers from the best concepts and the preferences."""
        return np.isin(best.numpy(), self.classes or ()).astype(np.float64)

    def answer(self, images: Tensor, kind: Kind, stream: Stream, progress: float = 0.0) -> Feedback:
        """Answer item by item, or in pairs of items 2i and 2i + 1, preferred item first."""
        best, preference = self.judge(images)
        probability = preference.numpy().astype(np.float64)
        pairs = ordered_pairs(probability) if kind == "pairs" else None
        return Feedback(self.decide(best, preference), probability, pairs)


class ConceptUser(ConceptUserBase):
    """Prefers the concepts with the wanted attributes; the preference is the sum of their probabilities.

    Grades: an affine map of the preference, clipped, takes its mean over images of other concepts to 0 and over images
    of preferred concepts to 1.
    """

    taste: ConceptTaste

    def calibrate(self, task: LabelsConcepts) -> None:
        """Load the proxy; calibrate grades on images of known concepts.

        Raises:
            SettingsError: if no concept has the wanted attributes.
            PapaError: if the proxy does not score images of preferred concepts higher than others.
        """
        self._proxy = task.proxy()
        self.classes = self._proxy.bank.members(self.taste.wanted)
        if self.taste.graded:
            import torch

            images, shown = task.known_images()
            own, preference = torch.from_numpy(np.isin(shown, self.classes)), self.judge(images)[1]
            low, high = float(preference[~own].mean()), float(preference[own].mean())
            if not high - low > LEAST_GAP:
                raise PapaError(
                    f"the proxy's mean preference is {high:.4f} for images of {self.taste.wanted} and {low:.4f} for "
                    "others, too close for grades. Check the prompts of the bank and the temperature, or use binary "
                    "answers."
                )
            self._range = (low, high)

    def of_concepts(self, shares: Tensor) -> Tensor:
        return shares[:, list(self.classes or ())].sum(1)

    def decide(self, best: Tensor, preference: Tensor) -> np.ndarray:
        if not self.taste.graded:
            return super().decide(best, preference)
        low, high = self._range
        return ((preference - low) / (high - low)).clamp(0, 1).numpy().astype(np.float64)


class UnionUser(ConceptUserBase):
    """Prefers what any of its members prefers; the preference is the maximum over them."""

    taste: UnionTaste

    def calibrate(self, task: LabelsConcepts) -> None:
        """Load the proxy.

        Raises:
            SettingsError: if no concept has the wanted attributes of a member.
        """
        self._proxy = task.proxy()
        self._sets = [self._proxy.bank.members(member) for member in self.taste.members]
        self.classes = tuple(sorted(set().union(*self._sets)))

    def of_concepts(self, shares: Tensor) -> Tensor:
        import torch

        return torch.stack([shares[:, list(own)].sum(1) for own in self._sets]).amax(0)


class HastyUser(ClassUser):
    """Prefers some concepts by a judge that was trained on few images, whose mistakes can be exploited.

    The other judges know the concepts, so the gap between their preference and this user's is over-optimization.
    """

    taste: WantedTaste

    def calibrate(self, task: Any) -> None:
        self._gold, self.classes = task.hasty(), task.proxy().bank.members(self.taste.wanted)


def ordered_pairs(preference: np.ndarray) -> np.ndarray:
    """(k,) preferences -> (k // 2, 2) indices (preferred, rejected) of items 2i and 2i + 1."""
    first = np.arange(0, len(preference) - 1, 2)
    swap = preference[first] < preference[first + 1]
    return np.stack([np.where(swap, first + 1, first), np.where(swap, first, first + 1)], 1)


USES = ("papa.benchmark.users.classes",)
CONCEPTS = UserKind(ConceptTaste, ConceptUser, needs="concepts", uses=USES)
UNION = UserKind(UnionTaste, UnionUser, needs="concepts", uses=USES)
HASTY = UserKind(WantedTaste, HastyUser, needs="hasty", uses=USES)
