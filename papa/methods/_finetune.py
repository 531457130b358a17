"""Fine-tuning, as every method that trains the diffusion model does it: networks, items, Adam steps.

A method defines the gradient of an update (`gradient`) and the items that it learns from (`learn`, by `train`). This
file has the rest: the whole network or adapters, Adam, the order of items, the loss scale of half precision.

On a guided model the branch with the prompt is trained, and both branches of the sampler use the tuned network. On a
half-precision model the networks run under autocast; trained weights, losses and Adam are float32.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar, cast

import numpy as np

from papa.errors import AnswerError, DivergedError
from papa.feedback import Feedback, Query
from papa.methods._lazy import Denoiser, Tensor, Trajectory, denoiser, denoising, lora, nn, torch, trajectory
from papa.methods.declaration import MethodSettings
from papa.methods.interface import Labelled, Method
from papa.rng import Stream
from papa.settings import Positive, Rate

LOSS_SCALE = 2.0**16
"""Initial factor on a half-precision loss, so that its gradients do not vanish."""


class FinetuneSettings(MethodSettings):
    """Settings of every method that fine-tunes."""

    dial: ClassVar = "weights"

    updates: Positive = 8
    """Adam steps per round."""
    items: Positive = 20
    """Items per Adam step. Within a round every labelled item is used once before any is used again."""
    timesteps: Positive | Literal["exact"] = 5
    """Stratified timesteps K per item over the whole range 1..T, or the exact sum over all."""
    lr: Rate = 5e-4
    """Adam's learning rate."""
    chunk: Positive = 256
    """(item, timestep) pairs per forward pass. Gradients accumulate over the passes of an update, so this changes
    memory, and the result only by rounding."""
    trainable: Literal["all", "lora"] = "all"
    """Trained parameters: all weights, or low-rank adapters of the attention layers (to_q, to_k, to_v, to_out) beside
    frozen weights that all copies of the network share."""
    lora_rank: Positive = 8
    """Rank of the adapters, where `trainable: lora`."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, a third more time."""

    @property
    def training(self) -> FinetuneSettings:
        return self


F = TypeVar("F", bound=FinetuneSettings)


@dataclass(frozen=True)
class Update:
    """The items of one Adam step: (m, ...) clean latents, their (m,) preference in [0, 1], the random numbers of the
    update, and a factor on the loss (half precision)."""

    x0: Tensor
    preference: np.ndarray
    stream: Stream
    scale: float = 1.0


class FineTuned(Method[F]):
    """A method that trains `network`, or adapters beside it; `base` is the pre-trained one, `seen` has all labels."""

    terms: tuple[str, ...] = ("loss",)
    """Names of the loss terms that `gradient` returns, for the record."""
    first: int = 0
    """The first timestep that is trained."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.network = self._network()
        # Frozen by `no_grad` alone: for parameters with gradients disabled PyTorch uses other kernels, whose last
        # bits differ, and Adam makes full steps of a difference that should be exactly zero.
        self.base = lora.copy_sharing_frozen(self.network)
        self.trained = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.Adam(self.trained.values(), lr=self.settings.lr, fused=True)
        self.loss_scale = LOSS_SCALE if self.model.half_precision == torch.float16 else None
        self.seen = Labelled()
        assert self.model.alphas_cumprod is not None  # a model with a network has a schedule
        self.alphas_cumprod = self.model.alphas_cumprod
        self.total = len(self.alphas_cumprod)
        self._losses: tuple[float, ...] = (float("nan"),) * len(self.terms)

    @abstractmethod
    def gradient(self, update: Update) -> tuple[float, ...]:
        """Add the gradient of one update's loss, times `update.scale`, to the network's parameters.

        Returns:
            The values of the loss's terms, without the scale.
        """

    def denoiser(self) -> Denoiser:
        return self.model.denoiser(self.cost, self.network)

    def ask(self, k: int) -> Query:
        return Query(self.draw(self.denoiser(), k, self.stream.at("ask", round=self.round)), self.condition(k))

    def sample(self, n: int) -> Tensor:
        if self.round == 0:
            return self.base_latents(n)
        return self.draw(self.denoiser(), n, self.stream.at("sample"))

    @property
    def items(self) -> int:
        """Items per update; half of them where an item is a pair, for equal cost per update across methods."""
        return self.settings.items

    def train(self, x0: Tensor, preference: np.ndarray) -> None:
        """The Adam steps of one round on (n, ...) items; gradients are recorded whatever mode the caller is in."""
        if not len(x0) or self.first >= self.total:
            return
        stream = self.stream.at("train", round=self.round)
        losses = []
        with torch.inference_mode(False), torch.enable_grad():
            for index, items in enumerate(self._item_order(len(x0), stream.at("items"))):
                update = Update(x0[torch.from_numpy(items)], preference[items], stream.at(update=index))
                losses.append(self._scaled(update))
                self.optimizer.step()
        self._losses = tuple(np.mean(losses, axis=0).tolist())

    def _scaled(self, update: Update) -> tuple[float, ...]:
        """The gradient of one update and the values of its terms.

        In half precision the loss is scaled; where that makes a gradient infinite, the scale is halved and the update
        computed again, so no update is lost.
        """
        scale = self.loss_scale
        while True:
            self.optimizer.zero_grad()
            losses = self.gradient(Update(update.x0, update.preference, update.stream, scale or 1.0))
            if scale is None or denoising.unscaled(self.trained.values(), scale):
                self.loss_scale = scale
                return losses
            scale /= 2
            if scale < 1:
                raise DivergedError("a gradient is NaN or infinite; lower lr, or set dtype: fp32")

    def _item_order(self, n: int, stream: Stream) -> np.ndarray:
        """(updates, items) indices: permutations of all items one after another, so each is used equally often."""
        rng, needed = stream.generator(), self.settings.updates * self.items
        order = np.concatenate([rng.permutation(n) for _ in range(-(-needed // n))])
        return order[:needed].reshape(self.settings.updates, self.items)

    @property
    def strata(self) -> int:
        """Timesteps per item; proportionally fewer where part of the chain is trained: the strata keep their width."""
        trained = self.total - self.first
        if self.settings.timesteps == "exact":
            return trained
        return max(1, round(self.settings.timesteps * trained / self.total))

    def timesteps(self, update: Update) -> Tensor:
        """(m, K) int64 timesteps of the items: one in each stratum, or all."""
        if self.settings.timesteps == "exact":
            return torch.arange(self.first, self.total).expand(len(update.x0), -1)
        uniforms = update.stream.at("timesteps").uniform(len(update.x0), self.strata)
        return denoising.stratified_timesteps(uniforms, self.first, self.total)

    def noise(self, update: Update, shared: bool = False) -> Callable[[int], Tensor]:
        """Item -> (K, ...) noise of its pairs, keyed by the item; one for all its timesteps if `shared`."""
        draws, shape, stream = 1 if shared else self.strata, self.model.shape, update.stream.at("eps")

        def eps(item: int) -> Tensor:
            drawn = torch.from_numpy(stream.at(item=item).normal(draws, *shape))
            return drawn.expand(self.strata, *shape)

        return eps

    def noised(self, update: Update) -> tuple[Any, Tensor]:
        """The update's pairs (item, timestep) in chunks, and the (m K,) preference of each pair."""
        timesteps = self.timesteps(update)
        chunks = denoising.noised(update.x0, timesteps, self.noise(update), self.alphas_cumprod, self.settings.chunk)
        return chunks, torch.from_numpy(update.preference)[:, None].expand(timesteps.shape).flatten()

    def frozen(self, net: nn.Module, part: denoising.Noised) -> Tensor:
        """(c, ...) noise predicted by a frozen network for a chunk of pairs."""
        return denoising.frozen(net, part, torch.ones_like(part.t), self.cost)

    def denoising_gradient(self, update: Update, weights: np.ndarray) -> float:
        """The loss, and its gradient: the sum over items of weight times mean denoising error over all trained
        timesteps. weights: (m,), signs and means included."""
        timesteps = self.timesteps(update)
        each = torch.from_numpy(np.asarray(weights, dtype=np.float64))[:, None] / timesteps.shape[1]
        return denoising.denoising_gradient(
            self.network,
            update.x0,
            timesteps,
            each.expand(timesteps.shape).float(),
            self.noise(update),
            self.alphas_cumprod,
            self.settings.chunk,
            self.cost,
            update.scale,
        )

    def _network(self) -> nn.Module:
        """A copy of the base network, or adapters beside its own weights."""
        if self.settings.trainable == "all":
            net = self.model.network()
        else:
            net = self.model.frozen_network()
            lora.add_adapters(net, self.settings.lora_rank, self.stream.at("lora"))
        if self.settings.gradient_checkpointing:
            for module in net.modules():
                if hasattr(module, "enable_gradient_checkpointing"):  # the whole diffusers model, not its parts
                    cast(Any, module).enable_gradient_checkpointing()
        return net

    def aligned(self) -> nn.Module:
        return self.network

    def diagnostics(self) -> dict[str, float]:
        values = dict(zip(self.terms, self._losses, strict=True))
        return values if self.loss_scale is None else values | {"loss_scale": self.loss_scale}


class OnTrajectories(FineTuned[F]):
    """A method that learns from the transitions of its own samples (policy gradients).

    Updates name trajectories by their numbers. A resumed session samples those of a round again, with the same bits.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._latest: tuple[int, Trajectory] | None = None

    def trajectories(self, k: int, cost: denoiser.Cost) -> Trajectory:
        noise = self.latent_noise(self.stream.at("ask", round=self.round), k)
        return trajectory.sample_trajectory(self.model.denoiser(cost, self.network), self._sigmas, noise)

    def ask(self, k: int) -> Query:
        trajectories = self.trajectories(k, self.cost)
        self._latest = self.round, trajectories
        return Query(trajectories.samples, self.condition(k))

    def shown(self, query: Query) -> Trajectory:
        """The trajectories of a query's items."""
        k = len(query.latents)
        if self._latest is not None and self._latest[0] == self.round and len(self._latest[1].samples) == k:
            return self._latest[1]
        return self.trajectories(k, denoiser.Cost())

    def check(self, query: Query, feedback: Feedback) -> None:
        super().check(query, feedback)
        if not torch.equal(self.shown(query).samples, query.latents):
            raise AnswerError(
                f"{type(self).__name__} learns from the trajectories of its own samples, and these items are not "
                "samples of this round. Give labels of other images to a method that learns from images: papa."
            )

    def denoisers(self) -> tuple[Denoiser, Denoiser]:
        """The network in training and the base, as denoisers that count no cost; `count` does."""
        return self.model.denoiser(denoiser.Cost(), self.network), self.model.denoiser(denoiser.Cost(), self.base)

    def count(self, items: int, frozen: bool = False) -> None:
        """Count a forward and a backward evaluation of each item, and one of the frozen base."""
        evaluations = items * self.model.evaluations_per_step
        self.cost.forward += evaluations
        self.cost.backward += evaluations
        self.cost.frozen += evaluations * frozen

    def steps_of(self, update: Update, transitions: int) -> list[int]:
        """The transitions of an update, the same for all of its items: one in each stratum, or all."""
        if self.settings.timesteps == "exact" or self.settings.timesteps >= transitions:
            return list(range(transitions))
        uniforms = update.stream.at("steps").uniform(1, self.settings.timesteps)
        return denoising.stratified_timesteps(uniforms, 0, transitions)[0].tolist()

    def parts(self, items: Tensor) -> tuple[Tensor, ...]:
        return items.split(max(1, self.settings.chunk))
