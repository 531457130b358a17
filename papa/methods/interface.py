"""What an alignment method is, and what all of them share. A method is given a model: no user, judge or file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from papa.diffusion.denoiser import Cost, Denoiser
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.errors import ModelError
from papa.feedback import Feedback, Query
from papa.methods.declaration import MethodSettings
from papa.models.base_samples import base_latents
from papa.models.interface import Model
from papa.rng import Stream

S = TypeVar("S", bound=MethodSettings)
P = ParamSpec("P")
R = TypeVar("R")
Preference = Callable[[Tensor], Tensor]
"""(n, ...) images -> (n,) preference in [0, 1], differentiable where it can be."""


def recording_gradients(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: gradients are recorded whatever the caller has set (`no_grad`, `inference_mode`, ...)."""
    return torch.inference_mode(False)(torch.enable_grad()(function))


class Method(ABC, Generic[S]):
    """An alignment method behind ask and tell.

    Args:    settings: its settings. model: what it aligns. stream: random numbers of this session, the same for all
             methods. base: the first n base samples of this stream for the model's own prompt, shared by all methods
             (counted in `cost` as if newly sampled); sampled on demand if None. oracle: the user's preference; None
             except for the controls that ask for it (`settings.needs_oracle`).
    """

    def __init__(
        self,
        settings: S,
        model: Model,
        stream: Stream,
        base: Callable[[int], Tensor] | None = None,
        oracle: Preference | None = None,
    ) -> None:
        self.settings = settings
        self.model = model
        self.stream = stream
        self.oracle = oracle
        self.cost = Cost()
        self.round = 0
        """Rounds told so far, the one of given labels included."""
        self.beforehand = 0
        """Rounds of labels that were there before the first question; `settings.rounds` does not count them."""
        self._base = base or (lambda n: base_latents(model, stream, n, Cost()))
        self._sigmas = model.sigmas()

    # ------------------------------------------------------------ what a method implements

    @abstractmethod
    def ask(self, k: int) -> Query:
        """The next k items to show. Changes nothing that was learned."""

    @abstractmethod
    def learn(self, query: Query, feedback: Feedback) -> None:
        """Learn from the answers (NaN = unanswered)."""

    @abstractmethod
    def sample(self, n: int) -> Tensor:
        """n latents of the aligned result. Changes nothing that was learned; the same rows each time."""

    @property
    def asks_the_base(self) -> bool:
        """Whether `ask` shows `base_query` whatever was answered, so that it may be drawn before the answers."""
        return False

    # ------------------------------------------------------------ what all share

    @property
    def rounds(self) -> int:
        """Rounds in all, the one of given labels included."""
        return self.settings.rounds + self.beforehand

    def begin(self, query: Query, feedback: Feedback) -> None:
        """Learn from labels that were there before the first question: a round of its own, which costs no label.

        Args:    query: latents of pictures that this method did not draw.
        Raises:  AnswerError as `tell` does.
        """
        self.beforehand = 1
        self.tell(query, feedback)

    def tell(self, query: Query, feedback: Feedback) -> None:
        """Learn from the answers to a query, and count the round.

        Raises:  AnswerError for answers that do not fit the query; nothing was learned then.
        """
        self.check(query, feedback)
        self.learn(query, feedback)
        self.round += 1

    def check(self, query: Query, feedback: Feedback) -> None:
        """Refuse answers that this method cannot learn from. A session calls this before it writes them to its log.

        Raises:  AnswerError that says what is asked for.
        """
        feedback.check(len(query.latents))

    def base_latents(self, n: int) -> Tensor:
        """The first n base samples; newly sampled from the same noise under another prompt."""
        if not self.model.own_prompt:
            return self.draw(self.model.denoiser(self.cost), n, self.stream.at("sample"))
        self.cost.forward += n * evaluations_per_sample(self.model)
        return self._base(n)

    def base_query(self, k: int, ahead: int = 0) -> Query:
        """k fresh base samples to show, which follow from the number of the round alone; `ahead` rounds later."""
        stream = self.stream.at("ask", round=self.round + ahead)
        return Query(self.draw(self.model.denoiser(self.cost), k, stream), self.condition(k))

    def draw(self, denoise: Denoiser, n: int, stream: Stream) -> Tensor:
        """n samples of a denoiser by the model's own sampler."""
        noise = stream_noise(stream, (n, *self.model.shape), self.model.dtype, self.model.device)
        return euler_ancestral(denoise, self._sigmas, noise)

    def condition(self, k: int) -> list[str] | None:
        """The model's prompt for k items, or None."""
        return None if self.model.prompt is None else [self.model.prompt] * k

    def aligned(self) -> nn.Module:
        """The network of the aligned result, for methods that train one.

        Raises:  ModelError where there is no such network.
        """
        raise ModelError(
            f"{type(self).__name__} leaves the model's weights as they are, so there is no aligned model to save; "
            "the method papa makes one."
        )

    def diagnostics(self) -> dict[str, float]:
        """Values of the last round for the record (effective sample size, loss, ...)."""
        return {}

    def trace(self) -> list[dict[str, float]]:
        """What happened at every step of the latest draw, for the record; nothing for most methods."""
        return []

    def state(self) -> dict[str, Any]:
        """Everything that was learned; a method made with the same arguments and restored from it samples the same."""
        return {"round": self.round, "beforehand": self.beforehand}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state made by `state`."""
        self.round, self.beforehand = state["round"], state["beforehand"]


def evaluations_per_sample(model: Model) -> int:
    """Denoiser evaluations per sample."""
    return (len(model.sigmas()) - 1) * model.evaluations_per_step
