"""The interface of an alignment method. A method receives a model, and no user, judge or file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from papa.errors import ModelError
from papa.feedback import Feedback, Query
from papa.methods._lazy import Model, Tensor, base_samples, denoiser, nn, sampler, torch
from papa.methods.declaration import MethodSettings
from papa.rng import Stream

S = TypeVar("S", bound=MethodSettings)
Preference = Callable[["Tensor"], "Tensor"]
"""(n, ...) images -> (n,) preference in [0, 1], differentiable where it can be."""


class Method(ABC, Generic[S]):
    """An alignment method behind ask and tell.

    Args:
        settings: its settings.
        model: the model to align.
        stream: random numbers of this session, the same for all methods.
        base: n -> the first n base samples of this stream for the model's own prompt, shared by all methods (counted
            in `cost` as if newly sampled); sampled on demand if None.
        oracle: the user's true preference; None except for controls (`settings.needs_oracle`).
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
        self.cost = denoiser.Cost()
        self.round = 0
        """Rounds learned from, the one of given labels included."""
        self.beforehand = 0
        """Rounds of labels given before the first question; `settings.rounds` does not count them."""
        self._base = base or (lambda n: base_samples.base_latents(model, stream, n, denoiser.Cost()))
        self._sigmas = model.sigmas()

    @abstractmethod
    def ask(self, k: int) -> Query:
        """The next k items to label. Does not change the method's state."""

    @abstractmethod
    def learn(self, query: Query, feedback: Feedback) -> None:
        """Learn from the answers (NaN = unanswered)."""

    @abstractmethod
    def sample(self, n: int) -> Tensor:
        """n latents of the aligned model. Does not change the method's state; the same rows each time."""

    @property
    def asks_the_base(self) -> bool:
        """Whether `ask` returns `base_query` whatever the answers were, so that it can be computed in advance."""
        return False

    @property
    def rounds(self) -> int:
        """Rounds in all, the one of given labels included."""
        return self.settings.rounds + self.beforehand

    def begin(self, query: Query, feedback: Feedback) -> None:
        """Learn from labels of images that this method did not sample: a first round, which costs no label."""
        self.beforehand = 1
        self.tell(query, feedback)

    def tell(self, query: Query, feedback: Feedback) -> None:
        """Learn from the answers to a query, and count the round; `AnswerError` for answers that do not fit it."""
        self.check(query, feedback)
        self.learn(query, feedback)
        self.round += 1

    def check(self, query: Query, feedback: Feedback) -> None:
        """Refuse answers that this method cannot learn from (`AnswerError`), before a session logs them."""
        feedback.check(len(query.latents))

    def base_latents(self, n: int) -> Tensor:
        """The first n base samples; under another prompt newly sampled from the same noise."""
        if not self.model.own_prompt:
            return self.draw(self.model.denoiser(self.cost), n, self.stream.at("sample"))
        self.cost.forward += n * evaluations_per_sample(self.model)
        return self._base(n)

    def base_query(self, k: int, ahead: int = 0) -> Query:
        """k fresh base samples as a query; they depend on the round only. ahead: of a later round."""
        stream = self.stream.at("ask", round=self.round + ahead)
        return Query(self.draw(self.model.denoiser(self.cost), k, stream), self.condition(k))

    def draw(self, denoise: denoiser.Denoiser, n: int, stream: Stream) -> Tensor:
        """n samples of a denoiser by the model's own sampler."""
        return sampler.euler_ancestral(denoise, self._sigmas, self.latent_noise(stream, n))

    def latent_noise(self, stream: Stream, n: int) -> sampler.Noise:
        """Step -> (n, ...) noise of latents."""
        return sampler.stream_noise(stream, (n, *self.model.shape), self.model.dtype, self.model.device)

    def condition(self, k: int) -> list[str] | None:
        """The model's prompt for k items, or None."""
        return None if self.model.prompt is None else [self.model.prompt] * k

    def aligned(self) -> nn.Module:
        """The network of the aligned model; `ModelError` for a method that trains none."""
        raise ModelError(
            f"{type(self).__name__} does not change the model's weights, so there is no aligned model to save; "
            "use a method that fine-tunes, such as papa."
        )

    def diagnostics(self) -> dict[str, float]:
        """Diagnostics of the last round for the record."""
        return {}

    def trace(self) -> list[dict[str, float]]:
        """One row for each step of the last sampling, for the record; empty for most methods."""
        return []


def evaluations_per_sample(model: Model) -> int:
    return (len(model.sigmas()) - 1) * model.evaluations_per_step


class Labelled:
    """Labelled latents in the order of the rounds. `preference` is (n,) float64, NaN where unanswered."""

    def __init__(self) -> None:
        self._latents: list[Tensor] = []
        self._preference: list[np.ndarray] = []

    def add(self, query: Query, feedback: Feedback) -> None:
        self._latents.append(query.latents.detach())
        self._preference.append(feedback.preference)

    @property
    def latents(self) -> Tensor:
        return torch.cat(self._latents)

    @property
    def preference(self) -> np.ndarray:
        return np.concatenate(self._preference)

    def where(self, chosen: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """Latents and preferences of some items. chosen: (n,) bool."""
        index = np.flatnonzero(chosen)
        return self.latents[torch.from_numpy(index)], self.preference[index]

    def answered(self) -> tuple[Tensor, np.ndarray]:
        """Latents and preferences of the items with an answer."""
        return self.where(~np.isnan(self.preference))

    def rounds(self) -> list[np.ndarray]:
        return list(self._preference)

    def last(self) -> tuple[Tensor, np.ndarray]:
        """The last round."""
        return self._latents[-1], self._preference[-1]
