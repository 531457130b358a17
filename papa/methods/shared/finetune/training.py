"""Fine-tuning, as every method that trains the diffusion model does it: which network, which items, how a step is made.

A method says what the gradient of an update is (`gradient`) and on which items it learns (`learn`, by `train`). The
rest stands here: the whole network or adapters, Adam, the order of items, the loss scale of half precision, the state.

On a guided model the branch with the prompt is trained and both branches of the sampler use the tuned network. On a
half-precision model the networks run under autocast; trained weights, losses and Adam are float32.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from papa.diffusion.denoiser import Denoiser
from papa.diffusion.losses import denoising_gradient, stratified_timesteps, unscaled
from papa.errors import DivergedError
from papa.feedback import Query
from papa.methods.interface import Method, recording_gradients
from papa.methods.shared.finetune import FinetuneSettings
from papa.methods.shared.labelled import Labelled
from papa.models.lora import add_adapters, copy_sharing_frozen
from papa.rng import Stream

if TYPE_CHECKING:
    from diffusers import ModelMixin

LOSS_SCALE = 2.0**16
"""Initial factor on a half-precision loss, so that its gradients do not vanish."""

F = TypeVar("F", bound=FinetuneSettings)


@dataclass(frozen=True)
class Update:
    """The items of one Adam step. x0: (m, ...) clean latents. preference: (m,) in [0, 1]. stream: its random numbers.
    scale: factor on the loss (of half precision)."""

    x0: Tensor
    preference: np.ndarray
    stream: Stream
    scale: float = 1.0


class FineTuned(Method[F]):
    """A method that trains the model's network, or adapters beside it.

    Attributes: network: in training. base: the pre-trained one. trained: name -> parameter. seen: all labels so far.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.network = self._network()
        # Frozen by `no_grad` alone: for parameters with gradients disabled PyTorch takes other kernels, whose last
        # bits differ, and Adam makes full steps of a difference that should be exactly zero.
        self.base = copy_sharing_frozen(self.network)
        self.trained = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.Adam(self.trained.values(), lr=self.settings.lr, fused=True)
        self.loss_scale = LOSS_SCALE if self.model.half_precision == torch.float16 else None
        self.seen = Labelled()
        assert self.model.alphas_cumprod is not None  # a model with a network has a schedule
        self.alphas_cumprod = self.model.alphas_cumprod
        self.total = len(self.alphas_cumprod)
        self._losses: tuple[float, ...] = (float("nan"),) * len(self.terms)

    terms: tuple[str, ...] = ("loss",)
    """Names of the terms that `gradient` returns, for the record."""
    first: int = 0
    """The first timestep that is trained."""

    @abstractmethod
    def gradient(self, update: Update) -> tuple[float, ...]:
        """Add the gradient of one update's loss, times `update.scale`, to the network's parameters.

        `denoising_gradient` of this class does it for a weighted denoising loss.

        Returns: the values of the loss's terms, without the scale.
        Raises:  DivergedError where a term is NaN or infinite.
        """

    # ------------------------------------------------------------ ask, sample

    def denoiser(self) -> Denoiser:
        """The denoiser of the aligned model."""
        return self.model.denoiser(self.cost, self.network)

    def ask(self, k: int) -> Query:
        return Query(self.draw(self.denoiser(), k, self.stream.at("ask", round=self.round)), self.condition(k))

    def sample(self, n: int) -> Tensor:
        if self.round == 0:
            return self.base_latents(n)
        return self.draw(self.denoiser(), n, self.stream.at("sample"))

    # ------------------------------------------------------------ training

    @property
    def items(self) -> int:
        """Items of an update; fewer where an item is a pair, so that updates of all methods cost the same."""
        return self.settings.items

    @recording_gradients
    def train(self, x0: Tensor, preference: np.ndarray) -> None:
        """The Adam steps of one round.

        Args:    x0: (n, ...) items. preference: (n,) in [0, 1]. Without any item nothing happens.
        """
        if not len(x0) or self.first >= self.total:
            return
        stream = self.stream.at("train", round=self.round)
        losses = []
        for index, items in enumerate(self._item_order(len(x0), stream.at("items"))):
            losses.append(self._scaled(Update(x0[torch.from_numpy(items)], preference[items], stream.at(update=index))))
            self.optimizer.step()
        self._losses = tuple(np.mean(losses, axis=0).tolist())

    def _scaled(self, update: Update) -> tuple[float, ...]:
        """The gradient of one update, and the values of its terms.

        In half precision the loss is scaled; where that makes a gradient infinite, the scale is halved and the
        update computed again, so no update is lost.

        Raises:  DivergedError where even the loss itself has gradients that are not finite.
        """
        scale = self.loss_scale
        while True:
            self.optimizer.zero_grad()
            losses = self.gradient(Update(update.x0, update.preference, update.stream, scale or 1.0))
            if scale is None or unscaled(self.trained.values(), scale):
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

    # ------------------------------------------------------------ what a gradient is made of

    @property
    def strata(self) -> int:
        """Timesteps per item. A method that trains only part of the chain has proportionally fewer, rounded, so that
        the strata keep their width as nearly as possible."""
        trained = self.total - self.first
        if self.settings.timesteps == "exact":
            return trained
        return max(1, round(self.settings.timesteps * trained / self.total))

    def timesteps(self, update: Update) -> Tensor:
        """(m, K) int64 timesteps of the items: one in each stratum, or all."""
        if self.settings.timesteps == "exact":
            return torch.arange(self.first, self.total).expand(len(update.x0), -1)
        uniforms = update.stream.at("timesteps").uniform(len(update.x0), self.strata)
        return stratified_timesteps(uniforms, self.first, self.total)

    def noise(self, update: Update, shared: bool = False) -> Callable[[int], Tensor]:
        """Item -> (K, ...) noise of its pairs, keyed by the item; one for all its timesteps if `shared`."""
        draws, shape, stream = 1 if shared else self.strata, self.model.shape, update.stream.at("eps")

        def eps(item: int) -> Tensor:
            drawn = torch.from_numpy(stream.at(item=item).normal(draws, *shape))
            return drawn.expand(self.strata, *shape)

        return eps

    def denoising_gradient(self, update: Update, weights: np.ndarray) -> float:
        """The gradient of the sum over items of weight times mean denoising error over all trained timesteps.

        Args:    weights: (m,), signs and means included.
        Returns: the loss.
        """
        timesteps = self.timesteps(update)
        each = torch.from_numpy(np.asarray(weights, dtype=np.float64))[:, None] / timesteps.shape[1]
        return denoising_gradient(
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

    # ------------------------------------------------------------ the network and the record

    def _network(self) -> nn.Module:
        """What is trained: a copy of the base network, or adapters beside its own weights."""
        if self.settings.trainable == "all":
            net = self.model.network()
        else:
            net = self.model.frozen_network()
            add_adapters(net, self.settings.lora_rank, self.stream.at("lora"))
        if self.settings.gradient_checkpointing:
            for module in net.modules():
                if hasattr(module, "enable_gradient_checkpointing"):  # the whole of a diffusers model, not its parts
                    cast("ModelMixin", module).enable_gradient_checkpointing()
        return net

    def aligned(self) -> nn.Module:
        return self.network

    def diagnostics(self) -> dict[str, float]:
        values = dict(zip(self.terms, self._losses, strict=True))
        return values if self.loss_scale is None else values | {"loss_scale": self.loss_scale}

    def state(self) -> dict[str, Any]:
        return super().state() | {
            "trained": {name: p.detach().clone() for name, p in self.trained.items()},
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "loss_scale": self.loss_scale,
            "seen": self.seen.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(state["trained"][name])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))  # it keeps what it is given
        self.loss_scale = state["loss_scale"]
        self.seen.restore(state["seen"])
