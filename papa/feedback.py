"""Queries of a method, their items as shown to the user, and the answers as numbers."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from papa.errors import AnswerError

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["binary", "graded", "pairs"]


@dataclass(frozen=True)
class Query:
    """A query of a method.

    Attributes:
        latents: (k, ...) items.
        condition: the prompt of each item, or None.
        kind: the kind of feedback requested.
    """

    latents: Tensor
    condition: Sequence[str] | None = None
    kind: Kind = "binary"


@dataclass(frozen=True)
class Question:
    """A query as shown to the user.

    Attributes:
        round: counted from 0.
        query: what the method asks about.
        images: (k, C, H, W) in [-1, 1], or (k, d) points; a copy, so changing them in place affects nothing else.
        marks: coarse values by which a log recognizes the images (`Model.marks`), taken when the question was made.
    """

    round: int
    query: Query
    images: Tensor
    marks: Sequence[Sequence[float]] = ()

    @property
    def kind(self) -> Kind:
        return self.query.kind

    @property
    def latents(self) -> Tensor:
        return self.query.latents

    @property
    def condition(self) -> Sequence[str] | None:
        return self.query.condition

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Feedback:
    """Answers to a query.

    Attributes:
        preference: (k,) float64 in [0, 1], NaN where unanswered.
        probability: (k,) the probability that a simulated user likes each item; recorded, never shown to a method.
        pairs: (m, 2) item numbers (preferred, rejected), for methods that ask for pairs.
        ties: (t, 2) numbers of items that are liked equally.

    Raises:
        AnswerError: for a preference outside [0, 1], or of another shape.
    """

    preference: np.ndarray
    probability: np.ndarray | None = None
    pairs: np.ndarray | None = None
    ties: np.ndarray | None = None

    def __post_init__(self) -> None:
        preference = np.asarray(self.preference)
        if preference.ndim != 1 or preference.dtype.kind not in "biuf":
            raise AnswerError(f"answers are one number per item, or NaN for no answer; got {self.preference!r}.")
        outside = [value for value in preference.astype(float) if not (np.isnan(value) or 0 <= value <= 1)]
        if outside:
            raise AnswerError(
                f"answers are in [0, 1], from disliked to liked; got {outside[0]:g}. Give True or False, or map your "
                "scale: -1 and +1 to 0 and 1, one to five stars to 0, 0.25, 0.5, 0.75, 1."
            )
        object.__setattr__(self, "preference", preference.astype(np.float64))

    def check(self, k: int) -> None:
        """Check that this answers a query of k items."""
        if len(self.preference) != k:
            raise AnswerError(
                f"{k} items were shown and {len(self.preference)} answered; give one answer per item, in order, and "
                "None for an unanswered one."
            )
        for pairs in (self.pairs, self.ties):
            if pairs is None:
                continue
            array = np.asarray(pairs)
            if array.size and (array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu"):
                raise AnswerError("pairs are rows of two item numbers: (preferred, rejected).")
            if array.size and (array.min() < 0 or array.max() >= k or (array[:, 0] == array[:, 1]).any()):
                raise AnswerError(f"a pair has two different item numbers from 0 to {k - 1}, in the order shown.")


@dataclass(frozen=True)
class Tie:
    """Two items of a query that are liked equally."""

    first: int
    second: int


def feedback_of(answers: Sequence[Any] | Feedback, query: Query) -> Feedback:
    """A user's answers as feedback.

    Args:
        answers: for each item True, False, a grade in [0, 1], or None; for a query of kind "pairs", a (preferred,
            rejected) pair of item numbers or a `Tie` for each comparison made.
        query: what was asked.

    Raises:
        AnswerError: for answers that do not fit the query.
    """
    k = len(query.latents)
    if isinstance(answers, Feedback):
        answers.check(k)
        return answers
    # A dictionary or a set has a length too, but its order is not that of the items.
    unordered = isinstance(answers, str | bytes | Mapping | Set) or not hasattr(answers, "__len__")
    if unordered or getattr(answers, "shape", None) == ():
        raise AnswerError("answers are a list with one entry per item.")
    if query.kind == "pairs":
        ties = [(answer.first, answer.second) for answer in answers if isinstance(answer, Tie)]
        pairs = [answer for answer in answers if not isinstance(answer, Tie)]
        found = Feedback(np.full(k, np.nan), None, pairs_of(pairs), pairs_of(ties))
    else:
        found = Feedback(preference_of(answers))
    found.check(k)
    return found


def preference_of(answers: Iterable[Any]) -> np.ndarray:
    """Answers as (k,) float64, NaN for None; text is refused, even "0.5"."""
    return np.array([_number(answer) for answer in answers], dtype=np.float64)


def _number(answer: Any) -> float:
    if answer is None:
        return float("nan")
    try:
        if isinstance(answer, str | bytes) or np.ndim(answer):
            raise TypeError
        return float(answer)
    except (TypeError, ValueError, OverflowError):
        raise AnswerError(f"an answer is True, False, a grade in [0, 1] or None, not {answer!r}.") from None


def pairs_of(answers: Iterable[Any]) -> np.ndarray:
    """Pairs of item numbers as (m, 2) int64."""
    try:
        return np.array([(_item(first), _item(second)) for first, second in answers], np.int64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        raise AnswerError(
            "answers to this question are pairs of item numbers (preferred, rejected), or ties."
        ) from None


def _item(number: Any) -> int:
    if isinstance(number, bool | np.bool_):
        raise TypeError("a bool is no item number")
    return operator.index(number)
