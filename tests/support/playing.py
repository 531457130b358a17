"""Rounds of a method that was made by hand, without a session: ask, answer, tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from papa.benchmark.users.interface import User
from papa.feedback import Feedback, Question
from papa.log import feedback_from, log_line
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


class Logged:
    """Answers from the log of an earlier session, as JSON keeps it, and then as somebody who is there, or as nobody."""

    def __init__(self, happened: list[Round], user: Any = None) -> None:
        self.lines = [json.loads(json.dumps(log_line(h.question, h.feedback))) for h in happened]
        self.user = user

    def answer(self, images: Tensor, kind: Any, stream: Stream) -> Feedback:
        if not self.lines:
            assert self.user is not None, "the user is asked again"
            return self.user.answer(images, kind, stream)
        return feedback_from(self.lines.pop(0))
