"""The base model as it is: what every other method is compared with."""

from __future__ import annotations

from torch import Tensor

from papa.benchmark.config import MethodSettings
from papa.methods.interface import Method
from papa.session import Feedback, Query


class Base(Method[MethodSettings]):
    """Shows base samples and learns nothing."""

    def ask(self, k: int) -> Query:
        denoise = self.task.denoiser(self.cost)
        return Query(self.draw(denoise, k, self.stream.at("ask", round=self.round)), self.condition(k))

    def tell(self, query: Query, feedback: Feedback) -> None:
        self.round += 1

    def sample(self, n: int) -> Tensor:
        return self.base_latents(n)
