"""The base model as it is: what every other method is compared with."""

from __future__ import annotations

from torch import Tensor

from papa.feedback import Feedback, Query
from papa.methods.declaration import MethodSettings
from papa.methods.interface import Method


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
