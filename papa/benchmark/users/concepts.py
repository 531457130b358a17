"""Users of text-to-image tasks who prefer some concepts of the task's prompt bank."""

from __future__ import annotations

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

    from papa.benchmark.tasks.text_to_image import TextToImage

LEAST_GAP = 1e-4
"""Smallest difference of a graded user's mean preference between images of preferred and of other concepts."""

Value = str | int
Wanted = Annotated[dict[str, Value | list[Value]], Field(min_length=1)]
"""Attribute -> value, or several: {kind: apple, count: 2}."""


class WantedTaste(Taste):
    """The preferred attributes."""

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


class ConceptUser(User):
    """Prefers the concepts with the wanted attributes; the preference is the sum of their probabilities.

    Binary answers compare the best prompt of all with the user's concepts. A threshold on the preference would not do:
    at a low temperature the softmax is nearly uniform. Grades: an affine map of the preference, clipped, takes its mean
    over images of other concepts to 0 and over images of preferred concepts to 1.
    """

    _range: tuple[float, float] | None = None

    def calibrate(self, task: TextToImage) -> None:
        """Load the proxy; calibrate grades on images of known concepts.

        Raises:
            SettingsError: if no concept has the wanted attributes.
            PapaError: if the proxy does not score images of preferred concepts higher than others.
        """
        self._load(task, [self.taste.wanted])
        if self.taste.graded:
            import torch

            images, shown = task.known_images()
            own, preference = torch.from_numpy(np.isin(shown, self.classes or ())), self.judge(images)[1]
            low, high = float(preference[~own].mean()), float(preference[own].mean())
            if not high - low > LEAST_GAP:
                raise PapaError(
                    f"the proxy's mean preference is {high:.4f} for images of {self.taste.wanted} and {low:.4f} for "
                    "others, too close for grades. Check the prompts of the bank and the temperature, or use binary "
                    "answers."
                )
            self._range = (low, high)

    def _load(self, task: TextToImage, members: list[dict[str, Any]]) -> None:
        self._proxy = task.proxy()
        self._sets = [self._proxy.bank.members(wanted) for wanted in members]
        self.classes = tuple(sorted(set().union(*self._sets)))

    def preference(self, images: Tensor) -> Tensor:
        return self._of_concepts(self._proxy(images))

    def _of_concepts(self, shares: Tensor) -> Tensor:
        """(n, concepts) probabilities -> (n,) preference."""
        import torch

        return torch.stack([shares[:, list(own)].sum(1) for own in self._sets]).amax(0)

    def judge(self, images: Tensor) -> tuple[np.ndarray, Tensor]:
        """(n,) best concepts and (n,) preferences, on the CPU, from one pass over the images."""
        similarity = self._proxy.similarity(images).detach()
        shares = (self._proxy.temperature * similarity).softmax(1)
        return similarity.argmax(1).cpu().numpy(), self._of_concepts(shares).detach().cpu()

    def verdict(self, images: Tensor) -> np.ndarray:
        return self._decide(*self.judge(images))

    def _decide(self, best: np.ndarray, preference: Tensor) -> np.ndarray:
        if self._range is None:
            return np.isin(best, self.classes or ()).astype(np.float64)
        low, high = self._range
        return ((preference - low) / (high - low)).clamp(0, 1).numpy().astype(np.float64)

    def answer(self, images: Tensor, kind: Kind, stream: Stream, progress: float = 0.0) -> Feedback:
        """Answer item by item, or in pairs of items 2i and 2i + 1, preferred item first."""
        best, preference = self.judge(images)
        probability = preference.numpy().astype(np.float64)
        pairs = None
        if kind == "pairs":
            first = np.arange(0, len(probability) - 1, 2)
            swap = probability[first] < probability[first + 1]
            pairs = np.stack([np.where(swap, first + 1, first), np.where(swap, first, first + 1)], 1)
        return Feedback(self._decide(best, preference), probability, pairs)


class UnionUser(ConceptUser):
    """Prefers what any of its members prefers; the preference is the maximum over them."""

    def calibrate(self, task: TextToImage) -> None:
        """Load the proxy.

        Raises:
            SettingsError: if no concept has the wanted attributes of a member.
        """
        self._load(task, self.taste.members)


class HastyUser(ClassUser):
    """Prefers some concepts by a judge that was trained on few images, whose mistakes can be exploited.

    The other judges know the concepts, so the gap between their preference and this user's is over-optimization.
    """

    def calibrate(self, task: Any) -> None:
        self._gold, self.classes = task.hasty(), task.proxy().bank.members(self.taste.wanted)


USES = ("papa.benchmark.users.classes",)
CONCEPTS = UserKind(ConceptTaste, ConceptUser, needs="concepts", uses=USES)
UNION = UserKind(UnionTaste, UnionUser, needs="concepts", uses=USES)
HASTY = UserKind(WantedTaste, HastyUser, needs="hasty", uses=USES)
