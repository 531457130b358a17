"""Users of text-to-image tasks: what they like is a set of concepts of the proxy's prompt bank."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.tasks.interface import LabelsConcepts
from papa.benchmark.tasks.prompts import ClipJudge
from papa.benchmark.users.concepts import ConceptTaste, UnionTaste
from papa.benchmark.users.declaration import Taste
from papa.benchmark.users.interface import User
from papa.errors import PapaError
from papa.feedback import Feedback, Kind
from papa.rng import Stream

LEAST_GAP = 1e-4
"""Smallest difference allowed between a graded user's mean preference of their own pictures and of others."""

C = TypeVar("C", bound=Taste)


class OfConcepts(User[C, LabelsConcepts]):
    """Likes some concepts, by the judgement of the task's proxy.

    Binary answers: whether the best prompt of all is the user's; at a low temperature the softmax is nearly uniform,
    and any threshold on the preference would call everything disliked.
    """

    _proxy: ClipJudge

    @abstractmethod
    def of_concepts(self, shares: Tensor) -> Tensor:
        """(n, concepts) probabilities -> (n,) preference."""

    def preference(self, images: Tensor) -> Tensor:
        return self.of_concepts(self._proxy(images))

    @torch.no_grad()
    def judged(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) best concepts and (n,) preferences, on the CPU, from one pass over the images."""
        similarity = self._proxy.similarity(images)
        shares = (self._proxy.temperature * similarity).softmax(1)
        return similarity.argmax(1).cpu(), self.of_concepts(shares).cpu()

    def verdict(self, images: Tensor) -> np.ndarray:
        return self.decided(*self.judged(images))

    def decided(self, best: Tensor, preference: Tensor) -> np.ndarray:
        """(n,) answers from the best concepts and the preferences."""
        return np.isin(best.numpy(), self.classes or ()).astype(np.float64)

    def answer(self, images: Tensor, kind: Kind, stream: Stream) -> Feedback:
        """Item by item, or in pairs: items 2i and 2i + 1, the one of the larger preference first."""
        best, preference = self.judged(images)
        probability = preference.numpy().astype(np.float64)
        pairs = ordered_pairs(probability) if kind == "pairs" else None
        return Feedback(self.decided(best, preference), probability, pairs)


class ConceptUser(OfConcepts[ConceptTaste]):
    """Likes the concepts that have the wanted attributes; the preference is the sum of their probabilities.

    Graded answers: the preference through an affine map that takes the mean of pictures of other concepts to 0 and of
    pictures of the user's own to 1, clipped.
    """

    def meet(self, task: LabelsConcepts) -> None:
        """Take over the task's proxy; a graded user is calibrated on pictures of known concepts.

        Raises:  SettingsError where no concept has the wanted attributes. PapaError where the proxy does not
                 score the user's own pictures higher than others.
        """
        self._proxy = task.proxy()
        self.classes = self._proxy.bank.members(self.taste.wanted)
        if self.taste.graded:
            images, shown = task.known_images()
            own = torch.from_numpy(np.isin(shown, self.classes))
            preference = self.judged(images)[1]
            low, high = float(preference[~own].mean()), float(preference[own].mean())
            if not high - low > LEAST_GAP:
                raise PapaError(
                    f"the proxy's mean preference of pictures of {self.taste.wanted} is {high:.4f}, and of others "
                    f"{low:.4f}: it does not tell them apart, so no grades can be made of it. Check the prompts of the "
                    "bank and the temperature, or let the user answer yes or no."
                )
            self._range = (low, high)

    def of_concepts(self, shares: Tensor) -> Tensor:
        return shares[:, list(self.classes or ())].sum(1)

    def decided(self, best: Tensor, preference: Tensor) -> np.ndarray:
        if self.taste.graded:
            low, high = self._range
            return ((preference - low) / (high - low)).clamp(0, 1).numpy().astype(np.float64)
        return super().decided(best, preference)


class UnionUser(OfConcepts[UnionTaste]):
    """A household: likes what one of its members likes; the preference is the maximum over them."""

    def meet(self, task: LabelsConcepts) -> None:
        """Take over the task's proxy.

        Raises:  SettingsError where no concept has what a member asks for.
        """
        self._proxy = task.proxy()
        self._sets = [self._proxy.bank.members(member) for member in self.taste.members]
        self.classes = tuple(sorted(set().union(*self._sets)))

    def of_concepts(self, shares: Tensor) -> Tensor:
        return torch.stack([shares[:, list(own)].sum(1) for own in self._sets]).amax(0)


def ordered_pairs(preference: np.ndarray) -> np.ndarray:
    """(k,) preferences -> (k // 2, 2) indices (preferred, rejected) of neighbouring items."""
    first = np.arange(0, len(preference) - 1, 2)
    swap = preference[first] < preference[first + 1]
    return np.stack([np.where(swap, first + 1, first), np.where(swap, first, first + 1)], 1)
