"""The loop: a method asks, a user answers, the method learns.

Methods never see a user, a judge or a file; users never see a method.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from torch import Tensor

from papa.diffusion.denoiser import Cost
from papa.rng import Stream

Answer = Literal["binary", "graded", "pairs"]


@dataclass(frozen=True)
class Query:
    """What a method wants to be told about.

    latents: (k, ...) items. condition: the prompt of each item, or None. kind: the answer wanted.
    """

    latents: Tensor
    condition: Sequence[str] | None = None
    kind: Answer = "binary"


@dataclass(frozen=True)
class Feedback:
    """A user's answers.

    liking: (k,) float64 in [0, 1], NaN where unanswered. probability: (k,) the user's own certainty
    that it likes the item, recorded beside a binary answer and never shown to a method.
    pairs: (m, 2) indices (preferred, rejected), for methods that ask for pairs.
    """

    liking: np.ndarray
    probability: np.ndarray
    pairs: np.ndarray | None = None


@dataclass(frozen=True)
class Round:
    """One round as it happened."""

    index: int
    query: Query
    images: Tensor
    feedback: Feedback


class AskTell(Protocol):
    """The interface of every alignment method (ask-and-tell)."""

    cost: Cost

    def ask(self, k: int) -> Query: ...
    def tell(self, query: Query, feedback: Feedback) -> None: ...
    def sample(self, n: int) -> Tensor: ...
    def diagnostics(self) -> dict[str, float]: ...


class Decoder(Protocol):
    def decode(self, latents: Tensor) -> Tensor: ...


class Answerer(Protocol):
    def answer(self, images: Tensor, kind: Answer, stream: Stream) -> Feedback: ...


def interact(
    method: AskTell,
    user: Answerer,
    task: Decoder,
    whims: Stream,
    labels: int,
    per_round: int,
    log: Sequence[dict[str, Any]] = (),
) -> Iterator[Round]:
    """Run the rounds of one session, yielding each after the method has learned from it.

    Args:    whims: the user's random stream. labels: budget B; the last round may be shorter.
             log: lines of an earlier session's feedback log. Rounds found there are answered from it
             instead of by the user, so an interrupted session is restored by replaying it.
    """
    answered = {line["round"]: line for line in log}
    for index, first in enumerate(range(0, labels, per_round)):
        query = method.ask(min(per_round, labels - first))
        images = task.decode(query.latents)
        if index in answered:
            feedback = feedback_from(answered[index])
        else:
            feedback = user.answer(images, query.kind, whims.at(round=index))
        method.tell(query, feedback)
        yield Round(index, query, images, feedback)


def log_line(happened: Round) -> dict[str, Any]:
    """A round as one JSON line of `feedback.jsonl`.

    Keys: round, kind, condition, liking (null where unanswered), probability, pairs. The shown
    images stand in `samples.npz` under `shown`, in the same order.
    """
    feedback = happened.feedback
    return {
        "round": happened.index,
        "kind": happened.query.kind,
        "condition": None if happened.query.condition is None else list(happened.query.condition),
        "liking": [None if np.isnan(value) else float(value) for value in feedback.liking],
        "probability": [float(value) for value in feedback.probability],
        "pairs": None if feedback.pairs is None else feedback.pairs.tolist(),
    }


def feedback_from(line: dict[str, Any]) -> Feedback:
    """The feedback of a log line."""
    return Feedback(
        liking=np.array([np.nan if value is None else value for value in line["liking"]], dtype=np.float64),
        probability=np.array(line["probability"], dtype=np.float64),
        pairs=None if line["pairs"] is None else np.array(line["pairs"], dtype=np.int64),
    )
