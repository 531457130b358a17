"""Users of text-to-image tasks: what they like is a set of concepts of the proxy's prompt bank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.tasks.prompts import ClipJudge
from papa.benchmark.users.interface import User
from papa.errors import PapaError
from papa.rng import Stream
from papa.session import Answer, Feedback

LEAST_GAP = 1e-4
"""Between a graded user's mean liking of their own pictures and of others."""


class ConceptUser(User):
    """Likes the concepts that have the wanted attributes, as the task's proxy sees them.

    liking: the sum of their probabilities. Binary answers (the default): whether the best prompt of all
    is the user's; at a low temperature the softmax is nearly uniform, and any threshold on the liking
    would call everything disliked. `graded`: the liking through an affine map that takes the mean of
    pictures of other concepts to 0 and of pictures of the user's own to 1, clipped.

    Args:    wanted: attribute -> value, or several, for example {"kind": "apple"}.
    """

    def __init__(self, wanted: Mapping[str, Any], graded: bool = False) -> None:
        self.wanted, self.graded = wanted, graded

    def meet(self, task: Any) -> None:
        """Take over the task's proxy; a graded user looks at pictures of known concepts.

        Raises:  SettingsError where no concept has the wanted attributes. PapaError where the proxy does not
                 like the user's own pictures better than others.
        """
        self._proxy: ClipJudge = task.proxy()
        self.classes = self._proxy.bank.members(self.wanted)
        if self.graded:
            images, shown = task.known_images()
            own = torch.from_numpy(np.isin(shown, self.classes))
            liking = self._judged(images)[1]
            low, high = float(liking[~own].mean()), float(liking[own].mean())
            if not high - low > LEAST_GAP:
                raise PapaError(
                    f"the proxy's mean liking of pictures of {self.wanted} is {high:.4f}, and of others {low:.4f}: it "
                    "does not tell them apart, so no grades can be made of it. Check the prompts of the bank and the "
                    "temperature, or let the user answer yes or no."
                )
            self._range = (low, high)

    def liking(self, images: Tensor) -> Tensor:
        return self._of_concepts(self._proxy(images))

    def _of_concepts(self, shares: Tensor) -> Tensor:
        """(n, concepts) probabilities -> (n,) liking."""
        return shares[:, list(self.classes or ())].sum(1)

    @torch.no_grad()
    def _judged(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) best concepts and (n,) likings, on the CPU, from one look at the images."""
        similarity = self._proxy.similarity(images)
        shares = (self._proxy.temperature * similarity).softmax(1)
        return similarity.argmax(1).cpu(), self._of_concepts(shares).cpu()

    def verdict(self, images: Tensor) -> np.ndarray:
        return self._verdict(*self._judged(images))

    def _verdict(self, best: Tensor, liking: Tensor) -> np.ndarray:
        if self.graded:
            low, high = self._range
            return ((liking - low) / (high - low)).clamp(0, 1).numpy().astype(np.float64)
        return np.isin(best.numpy(), self.classes or ()).astype(np.float64)

    def answer(self, images: Tensor, kind: Answer, stream: Stream) -> Feedback:
        """Item by item, or in pairs: items 2i and 2i + 1, the one of the larger liking first."""
        best, liking = self._judged(images)
        probability = liking.numpy().astype(np.float64)
        pairs = ordered_pairs(probability) if kind == "pairs" else None
        return Feedback(self._verdict(best, liking), probability, pairs)


class UnionUser(ConceptUser):
    """A household: likes what one of its members likes; the liking is the maximum over them."""

    def __init__(self, members: Sequence[Mapping[str, Any]]) -> None:
        super().__init__({})
        self.members = members

    def meet(self, task: Any) -> None:
        self._proxy = task.proxy()
        self._sets = [self._proxy.bank.members(member) for member in self.members]
        self.classes = tuple(sorted(set().union(*self._sets)))

    def _of_concepts(self, shares: Tensor) -> Tensor:
        return torch.stack([shares[:, list(own)].sum(1) for own in self._sets]).amax(0)


def ordered_pairs(liking: np.ndarray) -> np.ndarray:
    """(k,) likings -> (k // 2, 2) indices (preferred, rejected) of neighbouring items."""
    first = np.arange(0, len(liking) - 1, 2)
    swap = liking[first] < liking[first + 1]
    return np.stack([np.where(swap, first + 1, first), np.where(swap, first, first + 1)], 1)
