"""The base model as it is: what every other method is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papa.feedback import Feedback, Query
from papa.methods.declaration import Declaration, MethodSettings
from papa.methods.interface import Method

if TYPE_CHECKING:
    from torch import Tensor


class Base(Method[MethodSettings]):
    """Shows base samples and learns nothing."""

    @property
    def asks_the_base(self) -> bool:
        return True

    def ask(self, k: int) -> Query:
        return self.base_query(k)

    def learn(self, query: Query, feedback: Feedback) -> None:
        """Nothing."""

    def sample(self, n: int) -> Tensor:
        return self.base_latents(n)


BASE = Declaration(MethodSettings, Base, "the pre-trained model", draws="base", pictures=frozenset())
