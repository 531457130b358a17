"""What a user is, and the noise that can stand between taste and answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from papa.errors import PapaError
from papa.rng import Stream
from papa.session import Answer, Feedback


class User(ABC):
    """Somebody with a taste.

    `classes` are the preferred classes of a class user, for the measures; None otherwise.
    """

    classes: tuple[int, ...] | None = None

    def meet(self, task: object) -> None:  # noqa: B027 - most users need nothing
        """Called once with the task, before anything is shown: calibration, loading of the judge."""

    @abstractmethod
    def liking(self, images: Tensor) -> Tensor:
        """(n, ...) images -> (n,) liking in [0, 1] (for `gmm2d`, a reward in nats), differentiable."""

    @abstractmethod
    def verdict(self, images: Tensor) -> np.ndarray:
        """(n, ...) images -> (n,) float64, the answer before any noise: 0 or 1, or graded in [0, 1]."""

    def answer(self, images: Tensor, kind: Answer, stream: Stream) -> Feedback:
        """Answer a query.

        Raises:  PapaError for a kind of answer that this user does not give.
        """
        if kind == "pairs":
            raise PapaError(f"{type(self).__name__} answers item by item, not in pairs.")
        probability = self.liking(images).detach().cpu().numpy().astype(np.float64)
        return Feedback(liking=self.verdict(images), probability=probability)


@dataclass
class NoisyUser(User):
    """A user whose answers are flipped or missing at random.

    flip: probability that an answer s becomes 1 - s, or that a pair is turned round. missing: probability of
    NaN; a pair with an item that stays unanswered is left out.
    The draws depend on the round and the item alone, so every method meets the same whims.
    """

    inner: User
    flip: float = 0.0
    missing: float = 0.0

    def __post_init__(self) -> None:
        self.classes = self.inner.classes

    def meet(self, task: object) -> None:
        self.inner.meet(task)
        self.classes = self.inner.classes  # some users know them only now

    def liking(self, images: Tensor) -> Tensor:
        return self.inner.liking(images)

    def verdict(self, images: Tensor) -> np.ndarray:
        return self.inner.verdict(images)

    def answer(self, images: Tensor, kind: Answer, stream: Stream) -> Feedback:
        truth = self.inner.answer(images, kind, stream)
        flipped = stream.at("flip").uniform(len(images)) < self.flip
        unanswered = stream.at("missing").uniform(len(images)) < self.missing
        liking = np.where(flipped, 1 - truth.liking, truth.liking)
        pairs = truth.pairs
        if pairs is not None:
            turned = stream.at("flip", "pairs").uniform(len(pairs)) < self.flip
            pairs = np.where(turned[:, None], pairs[:, ::-1], pairs)[~unanswered[pairs].any(1)]
        return Feedback(np.where(unanswered, np.nan, liking), truth.probability, pairs)
