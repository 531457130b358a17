"""What a user is, and the manner of its answers: their form, and the noise on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from torch import Tensor

from papa.benchmark.users import kind as kind_of_user
from papa.benchmark.users.declaration import Taste, UserSpec
from papa.errors import PapaError
from papa.feedback import Feedback, Kind
from papa.models.mixture import Mixture
from papa.rng import Stream

T = TypeVar("T", bound=Taste)
Host = TypeVar("Host", contravariant=True)
"""What a user asks of a task, one of the protocols of `papa.benchmark.tasks.interface`."""


class Tilting(Protocol):
    """The exact density of the base tilted by a reward."""

    def tilted(self, beta: float) -> tuple[Mixture, float]: ...


class User(ABC, Generic[T, Host]):
    """A simulated user with a taste.

    Attributes: classes: the preferred classes of a class user, for the measures; None otherwise. exact: the
    exact density of the base tilted by this user's preference; None where there is none.
    """

    classes: tuple[int, ...] | None = None
    exact: Tilting | None = None

    def __init__(self, taste: T) -> None:
        self.taste = taste

    @abstractmethod
    def meet(self, task: Host) -> None:
        """Called once with the task, before anything is shown: calibration, loading of the judge."""

    @abstractmethod
    def preference(self, images: Tensor) -> Tensor:
        """(n, ...) images -> (n,) preference in [0, 1] (for `gmm2d`, a reward in nats), differentiable."""

    @abstractmethod
    def verdict(self, images: Tensor) -> np.ndarray:
        """(n, ...) images -> (n,) float64, the answer before any noise: 0 or 1, or graded in [0, 1]."""

    def elsewhere(self) -> Mapping[str, Callable[[Tensor], np.ndarray]]:
        """Judge that no method queries -> images -> (n,) what this user would answer by its judgement.

        Empty for users with `classes`, of which every judge of the task has its own opinion.
        """
        return {}

    def at(self, progress: float) -> AnyUser:
        """Who answers when this share of the rounds, in [0, 1), is over."""
        return self

    def answer(self, images: Tensor, kind: Kind, stream: Stream) -> Feedback:
        """Answer a query.

        Raises:  PapaError for a kind of answer that this user does not give.
        """
        if kind == "pairs":
            raise PapaError(f"{type(self).__name__} answers item by item, not in pairs.")
        probability = self.preference(images).detach().cpu().numpy().astype(np.float64)
        return Feedback(preference=self.verdict(images), probability=probability)


AnyUser = User[Any, Any]


@dataclass
class NoisyUser(User[Any, Any]):
    """A user whose answers have another form, or are flipped, coloured by moods, or missing at random.

    answers: their form where items are asked about one by one (`AnswerModel.answers`). flip: probability that an answer
    s becomes 1 - s, or that a pair is turned round. moods: probability that a round is answered in a mood, a bad or a
    good one in equal parts: in a bad one a like (s above 1/2) is withheld half of the time, in a good one a dislike
    passes for a like a quarter of the time. missing: probability of NaN; a pair with an item that stays unanswered is
    left out.
    Somebody who compares errs, or says nothing, about both items at once. The draws depend on the round and the item
    alone, so they are the same for every method.
    """

    inner: AnyUser
    _: KW_ONLY
    answers: str = "own"
    flip: float = 0.0
    moods: float = 0.0
    missing: float = 0.0

    def __post_init__(self) -> None:
        self.taste = self.inner.taste
        self.classes, self.exact = self.inner.classes, self.inner.exact

    def meet(self, task: Any) -> None:
        self.inner.meet(task)
        self.classes, self.exact = self.inner.classes, self.inner.exact  # some users set them in `meet`

    def elsewhere(self) -> Mapping[str, Callable[[Tensor], np.ndarray]]:
        return self.inner.elsewhere()

    def at(self, progress: float) -> AnyUser:
        now = self.inner.at(progress)
        return self if now is self.inner else replace(self, inner=now)

    def _moody(self, preference: np.ndarray, stream: Stream) -> np.ndarray:
        """Which answers of a round a mood turns."""
        which, of = stream.uniform(2), stream.at("items").uniform(len(preference))
        if which[0] >= self.moods:
            return np.zeros(len(preference), dtype=bool)
        return (preference > 0.5) & (of < 0.5) if which[1] < 0.5 else (preference <= 0.5) & (of < 0.25)

    def _items(self, stream: Stream, n: int) -> np.ndarray:
        """(n,) uniform draws, one for each item; the two items of a comparison share theirs."""
        drawn = stream.uniform(n)
        return drawn[np.arange(n) // 2 * 2] if self.answers == "pairs" else drawn

    def _said(self, truth: Feedback) -> np.ndarray:
        """The answers in the form that this user gives them."""
        if self.answers == "own" or truth.probability is None:
            return truth.preference
        return truth.probability if self.answers == "grades" else compared(truth.probability)

    def preference(self, images: Tensor) -> Tensor:
        return self.inner.preference(images)

    def verdict(self, images: Tensor) -> np.ndarray:
        return self.inner.verdict(images)

    def answer(self, images: Tensor, kind: Kind, stream: Stream) -> Feedback:
        truth = self.inner.answer(images, kind, stream)
        flipped = self._items(stream.at("flip"), len(images)) < self.flip
        unanswered = self._items(stream.at("missing"), len(images)) < self.missing
        said = self._said(truth)
        preference = np.where(flipped, 1 - said, said)
        preference = np.where(self._moody(preference, stream.at("mood")), 1 - preference, preference)
        pairs = truth.pairs
        if pairs is not None:
            turned = stream.at("flip", "pairs").uniform(len(pairs)) < self.flip
            pairs = np.where(turned[:, None], pairs[:, ::-1], pairs)[~unanswered[pairs].any(1)]
        return Feedback(np.where(unanswered, np.nan, preference), truth.probability, pairs)


def compared(preference: np.ndarray) -> np.ndarray:
    """(k,) preferences -> (k,) answers by comparison of items 2i and 2i + 1: 1 for the better one, 0 for the other, 1/2
    for two that are equal, NaN for a last item without a partner."""
    halves = preference[: len(preference) // 2 * 2].reshape(-1, 2)
    first = 0.5 + 0.5 * np.sign(halves[:, 0] - halves[:, 1])
    return np.append(np.stack([first, 1 - first], 1).ravel(), [np.nan] * (len(preference) % 2))


class ChangingUser(User[Any, Any]):
    """A user whose taste changes half-way: one user for the first half of the rounds, another one from then on.

    Everything that is measured is by the taste in the end.
    """

    def __init__(self, before: AnyUser, after: AnyUser) -> None:
        super().__init__(after.taste)
        self._before, self._after = before, after

    def meet(self, task: Any) -> None:
        for user in (self._before, self._after):
            user.meet(task)
        self.classes, self.exact = self._after.classes, self._after.exact

    def at(self, progress: float) -> AnyUser:
        return self._before if progress < 0.5 else self._after

    def preference(self, images: Tensor) -> Tensor:
        return self._after.preference(images)

    def verdict(self, images: Tensor) -> np.ndarray:
        return self._after.verdict(images)

    def elsewhere(self) -> Mapping[str, Callable[[Tensor], np.ndarray]]:
        return self._after.elsewhere()

    def answer(self, images: Tensor, kind: Kind, stream: Stream) -> Feedback:
        return self._after.answer(images, kind, stream)


def user_of(spec: UserSpec) -> AnyUser:
    """The user of a description; it has met no task yet."""

    def plain(of: UserSpec) -> AnyUser:
        return kind_of_user(of.kind).load()(of.taste)

    user = plain(spec) if spec.then is None else ChangingUser(plain(spec), plain(spec.then))
    return user if spec.plain else NoisyUser(user, **spec.answer_model.model_dump())
