"""Small sessions, and a user who answers by a rule."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from papa.feedback import Question
from papa.methods import declaration
from papa.models.interface import Model
from papa.session import Session
from support import tiny

ROUNDS = 3  # of 5 labels, 2 in a round: the last one has a single item


def session(model: Model, method: str = "fkc", **given: Any) -> Session:
    """A small session; what is given goes to `Session`, settings beside the small ones."""
    known = declaration(method).settings.model_fields
    small = {name: value for name, value in tiny.SMALL.items() if name in known}
    return Session(model, method, **(given | {"settings": small | given.get("settings", {})}))


def rule(question: Question) -> list[bool | float | None]:
    """A user who likes bright images; among the answers are a grade and a missing one."""
    bright = question.images.flatten(1).mean(1) > question.images.mean()
    return [None if (question.round, i) == (1, 1) else bool(b) if i else 0.25 + b / 2 for i, b in enumerate(bright)]


def finish(of: Session, n: int = 4) -> Tensor:
    """Answer all remaining questions, and sample."""
    for question in of:
        of.answer(rule(question))
    return of.sample(n)


def answer_some(of: Session, rounds: int) -> None:
    """Answer the next rounds, and close."""
    for _ in range(rounds):
        of.answer(rule(of.ask()))
    of.close()
