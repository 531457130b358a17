"""The base model as it is: what every other method is compared with."""

from __future__ import annotations

from torch import Tensor

from papa.feedback import Feedback, Query
from papa.methods.declaration import MethodSettings
from papa.methods.interface import Method


class Base(Method[MethodSettings]):
    """Shows base samples and learns nothing."""

    def ask(self, k: int) -> Query:
        denoise = self.model.denoiser(self.cost)
        return Query(self.draw(denoise, k, self.stream.at("ask", round=self.round)), self.condition(k))

    def learn(self, query: Query, feedback: Feedback) -> None:
        """Nothing."""

    def sample(self, n: int) -> Tensor:
        return self.base_latents(n)
