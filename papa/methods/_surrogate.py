"""The surrogate reward of a method: its settings, the labels, the reward model, and the queries that it chooses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from papa.errors import SettingsError
from papa.feedback import Query
from papa.methods._lazy import Tensor, _queries, _reward_models
from papa.methods.interface import Labelled, Method
from papa.settings import Fraction, Positive, Rate, Settings


class SurrogateSettings(Settings):
    """The surrogate reward, fitted to all labels after every round.

    It is a network on latents (Conv2d - ReLU - AdaptiveAvgPool2d - MLP, fitted by MSE; the FKC draft), a Bayesian
    logistic head on the diffusion model's own activations, or kernel regression on latents.
    """

    kind: Literal["conv", "features", "kernel"] = "conv"
    """The network, the head, or Nadaraya-Watson regression, which trains nothing. `channels` to `early_stop` are the
    network's, `levels` and `reference` the head's, `bandwidth` the kernel's."""
    channels: Positive = 128
    """Convolution channels."""
    lr: Rate = 1e-3
    """Adam's learning rate."""
    batch: Positive = 32
    """Items per step."""
    epochs: Positive = 200
    """Passes over all labels per round, at most."""
    early_stop: Fraction = 0.2
    """A fit stops after a pass in which every absolute error is below this; 0: never early, as in the FKC draft."""
    levels: Annotated[tuple[Fraction, ...], Field(min_length=1)] = (0.05, 0.2)
    """Timesteps, as shares of all, to which an item is noised before the network's activations are read."""
    reference: Positive = 128
    """Base samples on which the features are standardized."""
    bandwidth: Rate = 0.35
    """Standard deviation of the Gaussian kernel, relative to the median pairwise distance of the labelled latents."""
    query: Literal["own", "random", "greedy", "ucb", "thompson", "straddle", "diverse"] = "own"
    """The items to label: the method's own queries, or items of a pool of base samples chosen by the surrogate
    (`papa.methods._queries`)."""
    pool: Positive = 256
    """Base samples in the pool; they count as evaluations of the run."""

    @model_validator(mode="after")
    def _query_requires_uncertainty(self) -> SurrogateSettings:
        if self.kind != "features" and self.query in ("ucb", "thompson", "straddle"):
            raise ValueError(f"query: {self.query} requires a surrogate with a variance; set kind: features")
        return self


class Surrogate:
    """The reward model of a method with the labels that it is fitted to, and the queries that it chooses."""

    def __init__(self, method: Method[Any], settings: SurrogateSettings) -> None:
        self.from_pool = settings.query != "own"
        """Whether the queries are items of the pool."""
        if self.from_pool and settings.pool < method.settings.labels:
            raise SettingsError(
                f"surrogate.pool: {settings.pool} base samples are fewer than the {method.settings.labels} labels, and "
                "none is shown twice; raise it."
            )
        self.method = method
        self.seen = Labelled()
        self.model = reward_model(settings, method)
        self.pool = _queries.Pool(settings, self.base_draw, method.stream.at("pool"))

    def __call__(self, latents: Tensor) -> Tensor:
        """(n, ...) clean latents -> (n,) predicted preference, differentiable."""
        return self.model(latents)

    def base_draw(self, n: int, stream: Any) -> Tensor:
        """n base samples from another stream."""
        return self.method.draw(self.method.model.denoiser(self.method.cost), n, stream)

    def ask(self, k: int) -> Query:
        """Base samples to label: fresh ones, or items of the pool."""
        method = self.method
        if not self.from_pool:
            return method.base_query(k)
        items = self.pool.choose(self.model, self.seen, k, method.stream.at("ask", round=method.round))
        return Query(items, method.condition(len(items)))

    def fit(self) -> float:
        """Fit the reward model to all labels; returns its mean squared error."""
        stream = self.method.stream.at("surrogate", "fit", round=self.method.round)
        return self.model.fit(self.seen.latents, self.seen.preference, stream)


def reward_model(settings: SurrogateSettings, method: Method[Any], **axes: int) -> _reward_models.RewardModel:
    """The reward model of a method before any label. axes: of its random numbers."""
    stream = method.stream.at("surrogate", **axes)
    context = _reward_models.SurrogateContext(method.model, stream, method.base_latents, lambda: method.cost)
    return _reward_models.KINDS[settings.kind](settings, context)
