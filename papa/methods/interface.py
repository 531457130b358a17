"""What an alignment method is, and what all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

from papa.benchmark.config import MethodSettings
from papa.benchmark.tasks.interface import Task
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.errors import PapaError
from papa.rng import Stream
from papa.session import Feedback, Query

S = TypeVar("S", bound=MethodSettings)
Liking = Callable[[Tensor], Tensor]
"""(n, ...) images -> (n,) liking in [0, 1], differentiable where it can be."""


class Method(ABC, Generic[S]):
    """An alignment method behind ask and tell.

    Args:    settings: its settings. task: what it aligns. stream: random numbers of this task and
             seed, the same for all methods. base_latents: the first n base samples of this seed for
             the task's own prompt, shared by all methods (counted in `cost` as if drawn anew). oracle: the
             user's liking; None except for the controls that ask for it (`settings.wants_oracle`).
    """

    def __init__(
        self,
        settings: S,
        task: Task,
        stream: Stream,
        base_latents: Callable[[int], Tensor],
        oracle: Liking | None = None,
    ) -> None:
        self.settings = settings
        self.task = task
        self.stream = stream
        self.oracle = oracle
        self.cost = Cost()
        self.round = 0
        """Rounds told so far."""
        self._base_latents = base_latents
        self._sigmas = task.sigmas()

    def base_latents(self, n: int) -> Tensor:
        """The first n base samples of this seed; drawn anew from the same noise under another prompt."""
        if self.task.condition != getattr(self.task.settings, "prompt", None):
            return self.draw(self.task.denoiser(self.cost), n, self.stream.at("sample"))
        self.cost.forward += n * task_steps(self.task)
        return self._base_latents(n)

    def draw(self, denoise: Any, n: int, stream: Stream) -> Tensor:
        """n samples of a denoiser by the task's own sampler."""
        noise = stream_noise(stream, (n, *self.task.shape), self.task.dtype, self.task.device)
        return euler_ancestral(denoise, self._sigmas, noise)

    def condition(self, k: int) -> list[str] | None:
        """The task's prompt for k items, or None."""
        return None if self.task.condition is None else [self.task.condition] * k

    @property
    def candidates(self) -> int:
        """Base samples that one returned sample takes from the shared pool; 1 for most methods."""
        return 1

    @abstractmethod
    def ask(self, k: int) -> Query:
        """The next k items to show. Changes nothing that was learned."""

    @abstractmethod
    def tell(self, query: Query, feedback: Feedback) -> None:
        """Learn from the answers (NaN = unanswered)."""

    @abstractmethod
    def sample(self, n: int) -> Tensor:
        """n latents of the aligned result. Changes nothing that was learned; the same rows each time."""

    def aligned(self) -> nn.Module:
        """The network that draws the aligned result, for methods that train one.

        Raises:  PapaError where there is no such network.
        """
        raise PapaError(
            f"{type(self).__name__} leaves the model's weights as they are, so there is no aligned model to save; "
            "papa makes one."
        )

    def diagnostics(self) -> dict[str, float]:
        """Figures of the last round for the record (effective sample size, loss, ...)."""
        return {}

    def trace(self) -> list[dict[str, float]]:
        """What happened at every step of the latest draw, for the record; nothing for most methods."""
        return []

    def state(self) -> dict[str, Any]:
        """Everything that was learned: `build` with the same arguments, then `restore`, samples the same."""
        return {"round": self.round}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state made by `state`."""
        self.round = state["round"]


def task_steps(task: Task) -> int:
    """Denoiser evaluations per sample."""
    return (len(task.sigmas()) - 1) * task.evaluations_per_step
