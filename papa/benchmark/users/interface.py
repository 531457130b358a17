"""The interface of a simulated user: a taste, how it is described in a configuration, and a noise model of the answers.

Imports no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from pydantic import model_validator

from papa.benchmark.tasks.declaration import Offer
from papa.errors import PapaError
from papa.feedback import Feedback, Kind
from papa.rng import Stream
from papa.settings import Fraction, Settings

if TYPE_CHECKING:
    from torch import Tensor

    from papa.benchmark.users.rewards import RewardUser


class Taste(Settings):
    """Base of the settings of every kind of user: what the user prefers."""


Form = Literal["own", "grades", "pairs"]
FORMS: tuple[Form, ...] = get_args(Form)
"""The forms of answers; see `AnswerModel.answers`."""


class AnswerModel(Settings):
    """The answers of a simulated user: their form and noise."""

    answers: Form = "own"
    """Answers to item-by-item questions: "own", those of the taste; "grades", the preference itself; "pairs",
    comparisons of items 2i and 2i + 1: 1 for the better one, 0 for the other (1/2 each if equal; a last item without a
    partner stays unanswered)."""
    flip: Fraction = 0.0
    """Probability that an answer s becomes 1 - s, or that a pair is reversed."""
    missing: Fraction = 0.0
    """Probability that an item stays unanswered; it still costs a label."""
    moods: Fraction = 0.0
    """Probability that a round is answered in a mood. In a bad one half of the likes are withheld, in a good one a
    quarter of the dislikes become likes."""

    @model_validator(mode="after")
    def _moods_need_binary_answers(self) -> AnswerModel:
        if self.moods and self.answers != "own":
            raise ValueError(f"moods need yes-or-no answers, not answers: {self.answers}; remove one of the two")
        return self


@dataclass(frozen=True)
class UserSpec:
    """A user of a grid. `then` is the user it becomes after half of the rounds, if the taste changes."""

    label: str
    kind: str
    taste: Taste
    answer_model: AnswerModel
    then: UserSpec | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Its kind, and that of the user it becomes."""
        return (self.kind, *(() if self.then is None else self.then.kinds))

    @property
    def noiseless(self) -> bool:
        """Whether the answers are those of the taste itself."""
        return self.answer_model == AnswerModel()

    @property
    def described(self) -> Mapping[str, Any]:
        """All settings of this user, defaults resolved, JSON-serializable."""
        own = {"user": self.label, "kind": self.kind, "taste": self.taste.model_dump(mode="json")}
        return own | self.answer_model.model_dump() | ({} if self.then is None else {"then": self.then.described})


class User(ABC):
    """A simulated user with a taste.

    Attributes:
        classes: the preferred classes, for the measures; None for users whose preference is not over classes.
        exact: the user itself if its taste is a reward whose tilted density is known; None otherwise.
    """

    classes: tuple[int, ...] | None = None
    exact: RewardUser | None = None

    def __init__(self, taste: Any) -> None:
        self.taste = taste

    @abstractmethod
    def calibrate(self, task: Any) -> None:
        """Load what the user needs of a task (see `Offer`), before the first question."""

    @abstractmethod
    def preference(self, images: Tensor) -> Tensor:
        """(n, ...) images -> (n,) preference in [0, 1] (for `gmm2d`, a reward in nats), differentiable."""

    @abstractmethod
    def verdict(self, images: Tensor) -> np.ndarray:
        """(n, ...) images -> (n,) float64 noiseless answers: 0 or 1, or graded in [0, 1]."""

    def held_out_verdicts(self) -> Mapping[str, Callable[[Tensor], np.ndarray]]:
        """Judge that no method queries -> the verdict of this taste by its judgement.

        Empty for users with `classes`: the measures ask every judge of the task for the class.
        """
        return {}

    def answer(self, images: Tensor, kind: Kind, stream: Stream, progress: float = 0.0) -> Feedback:
        """Answer a question.

        Args:
            images: (k, ...) items.
            kind: the kind of feedback requested.
            stream: random numbers of the round.
            progress: share of the rounds already over, in [0, 1).

        Raises:
            PapaError: for a kind of answer that this user does not give.
        """
        if kind == "pairs":
            raise PapaError(f"{type(self).__name__} answers item by item, not in pairs.")
        probability = self.preference(images).detach().cpu().numpy().astype(np.float64)
        return Feedback(preference=self.verdict(images), probability=probability)


@dataclass(frozen=True)
class UserKind:
    """A kind of user, as the registry names it.

    Args:
        taste: class of its settings.
        user: class of the user.
        needs: what it asks of a task.
        uses: modules that compute for it besides its own file and the shared ones, for keys of runs.
    """

    taste: type[Taste]
    user: Callable[[Any], User]
    needs: Offer
    uses: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The module of the user."""
        return self.user.__module__


class WrappedUser(User):
    """A user with the taste of another one."""

    def __init__(self, inner: User) -> None:
        super().__init__(inner.taste)
        self.inner = inner
        self.classes, self.exact = inner.classes, inner.exact

    def calibrate(self, task: Any) -> None:
        self.inner.calibrate(task)
        self.classes, self.exact = self.inner.classes, self.inner.exact

    def preference(self, images: Tensor) -> Tensor:
        return self.inner.preference(images)

    def verdict(self, images: Tensor) -> np.ndarray:
        return self.inner.verdict(images)

    def held_out_verdicts(self) -> Mapping[str, Callable[[Tensor], np.ndarray]]:
        return self.inner.held_out_verdicts()


class ChangingUser(WrappedUser):
    """A user whose taste changes after half of the rounds; measured by the later taste."""

    def __init__(self, before: User, after: User) -> None:
        super().__init__(after)
        self.before = before

    def calibrate(self, task: Any) -> None:
        self.before.calibrate(task)
        super().calibrate(task)

    def answer(self, images: Tensor, kind: Kind, stream: Stream, progress: float = 0.0) -> Feedback:
        return (self.before if progress < 0.5 else self.inner).answer(images, kind, stream)


class NoisyUser(WrappedUser):
    """A user whose answers have another form, or noise.

    The noise depends on round and item only, so it is the same for every method. The two items of a comparison share
    theirs.
    """

    def __init__(self, inner: User, model: AnswerModel) -> None:
        super().__init__(inner)
        self.model = model

    def answer(self, images: Tensor, kind: Kind, stream: Stream, progress: float = 0.0) -> Feedback:
        truth, n = self.inner.answer(images, kind, stream, progress), len(images)
        flipped = self._uniform(stream.at("flip"), n) < self.model.flip
        unanswered = self._uniform(stream.at("missing"), n) < self.model.missing
        preference = self._in_form(truth)
        preference = np.where(flipped, 1 - preference, preference)
        preference = np.where(self._turned_by_mood(preference, stream.at("mood")), 1 - preference, preference)
        pairs = truth.pairs
        if pairs is not None:
            reversed_ = stream.at("flip", "pairs").uniform(len(pairs)) < self.model.flip
            pairs = np.where(reversed_[:, None], pairs[:, ::-1], pairs)[~unanswered[pairs].any(1)]
        return Feedback(np.where(unanswered, np.nan, preference), truth.probability, pairs)

    def _uniform(self, stream: Stream, n: int) -> np.ndarray:
        """(n,) uniform numbers, one for each item or comparison."""
        uniform = stream.uniform(n)
        return uniform[np.arange(n) // 2 * 2] if self.model.answers == "pairs" else uniform

    def _in_form(self, truth: Feedback) -> np.ndarray:
        """(k,) answers in the form of the answer model."""
        if self.model.answers == "own" or truth.probability is None:
            return truth.preference
        return truth.probability if self.model.answers == "grades" else compared(truth.probability)

    def _turned_by_mood(self, preference: np.ndarray, stream: Stream) -> np.ndarray:
        """(k,) which answers of a round a mood reverses."""
        mood, items = stream.uniform(2), stream.at("items").uniform(len(preference))
        if mood[0] >= self.model.moods:
            return np.zeros(len(preference), dtype=bool)
        return (preference > 0.5) & (items < 0.5) if mood[1] < 0.5 else (preference <= 0.5) & (items < 0.25)


def compared(preference: np.ndarray) -> np.ndarray:
    """(k,) preferences -> (k,) answers by comparison of items 2i and 2i + 1, see `AnswerModel.answers`."""
    halves = preference[: len(preference) // 2 * 2].reshape(-1, 2)
    first = 0.5 + 0.5 * np.sign(halves[:, 0] - halves[:, 1])
    return np.append(np.stack([first, 1 - first], 1).ravel(), [np.nan] * (len(preference) % 2))
