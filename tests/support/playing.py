"""Rounds of a method that was made by hand, without a session: ask, answer, tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from papa.benchmark.users.interface import User
from papa.feedback import Question
from papa.methods.interface import Method
from papa.rng import Stream
from papa.session import Round


def rounds_of(method: Method[Any], user: User, whims: Stream, labels: int, per_round: int) -> Iterator[Round]:
    """The rounds of one user, each yielded after the method has learned from it."""
    for index, first in enumerate(range(0, labels, per_round)):
        query = method.ask(min(per_round, labels - first))
        question = Question(index, query, method.model.decode(query.latents))
        feedback = user.answer(question.images, question.kind, whims.at(round=index))
        method.tell(query, feedback)
        yield Round(question, feedback, replayed=False)
