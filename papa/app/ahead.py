"""The next question, drawn while the person still looks at this one, where no answer can change it.

That is so where a method shows fresh samples of the base: their noise is known by the number of the round. It is drawn
by the same calls with the same noise, so it is the same question, bit for bit, and the log does not know of it.
"""

from __future__ import annotations

import copy
from typing import Any

from papa.feedback import Question
from papa.methods.base.method import Base
from papa.methods.interface import Method
from papa.methods.papa.method import Papa
from papa.methods.shared.surrogate.method import WithSurrogate
from papa.session import Session


def asks_the_base(method: Method[Any]) -> bool:
    """Whether whatever the method shows next is drawn from the base. A class with an `ask` of its own is not known."""
    ask = type(method).ask
    if isinstance(method, WithSurrogate):
        return ask is WithSurrogate.ask and not method.asks_from_the_pool
    if isinstance(method, Papa):
        return ask is Papa.ask and method.settings.queries == "base"
    return ask is Base.ask


class AskingAhead(Session):
    """A session that can draw the question after the open one before that is answered."""

    _ahead: Question | None = None

    def ask_ahead(self) -> None:
        """Draw the question after the open one, if no answer changes it and there is one."""
        coming = self.round + 1
        drawn = self._ahead is not None and self._ahead.round == coming
        if drawn or self._open is None or coming >= self.rounds or not asks_the_base(self.method):
            return
        later = copy.copy(self)
        later.method = copy.copy(self.method)
        later.method.round += 1
        self._ahead = later._question()

    def _question(self) -> Question:
        ahead, self._ahead = self._ahead, None
        return ahead if ahead is not None and ahead.round == self.round else super()._question()
