"""PAPA and EPAPA: fine-tune the diffusion model on what one user liked and disliked.

Source: PAPA: Online Personalized Active Preference Alignment (arXiv 2607.00486), Theorem 4.2. EPAPA is
PAPA with `frozen_below` > 0: timesteps below k are neither trained nor sampled with the tuned model.

Why c_qpde = c_pref. Let p be the share of liked items among those that could have made x_t, and eps_L,
eps_D the mean noise of the liked and of the disliked ones, so that the base is f* = p eps_L + (1-p) eps_D.
With equal timestep weights the loss at x_t is least where

    (2p - 1) f + c f = p eps_L - (1-p) eps_D + c f*,        c = c_qpde / c_pref

and for c = 1 that is f = eps_L exactly: the model conditioned on being liked, no more and no less. Below 1
it extrapolates beyond the liked items and loses diversity (for p < (1-c)/2 without bound); above 1 it falls
short. The balance is the same at every timestep, so EPAPA's anchor term is the same sum over fewer ones.

On a guided task the branch with the prompt is trained and both branches of the sampler are the tuned network,
so there this optimum is of the conditional model; what guidance makes of it is a heuristic, as in the base.

On a half-precision task the networks run under autocast; trained weights, losses and Adam are float32.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from papa.benchmark.config import PapaSettings
from papa.diffusion.denoiser import Denoiser, DiffusionDivergedError, SwitchedDenoiser
from papa.diffusion.schedule import lambda_weights, sigmas_of
from papa.errors import SettingsError
from papa.methods.interface import Method
from papa.methods.papa.loss import Pairs, accumulate_gradients, stratified_timesteps, unscaled
from papa.methods.shared.labelled import Labelled
from papa.models.lora import add_adapters, twin
from papa.rng import Stream
from papa.session import Feedback, Query

if TYPE_CHECKING:
    from diffusers import ModelMixin

LOSS_SCALE = 2.0**16
"""Factor on a half-precision loss to begin with, so that its gradients do not vanish."""


class Papa(Method[PapaSettings]):
    """Online fine-tuning without a reward model."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unet = self._network()
        # Frozen by `no_grad` alone: with parameters that want no gradient PyTorch takes other kernels, whose last
        # bits differ, and Adam makes full steps of a difference that should be exactly zero.
        self.base = twin(self.unet)
        self.anchor: nn.Module = self.base
        self.trained = {name: p for name, p in self.unet.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.Adam(self.trained.values(), lr=self.settings.lr)
        self.loss_scale = LOSS_SCALE if getattr(self.unet, "autocast", None) == torch.float16 else None
        self.seen = Labelled()
        assert self.task.alphas_cumprod is not None  # a task with a network has a schedule
        self.alphas_cumprod = self.task.alphas_cumprod
        self.total = len(self.alphas_cumprod)
        self.first = round(self.settings.frozen_below * self.total)
        self._losses = (float("nan"), float("nan"))

    def _network(self) -> nn.Module:
        """What is trained: a copy of the base network, or adapters beside its own weights."""
        if self.settings.trainable == "all":
            net = self.task.unet()
        else:
            net = self.task.frozen_unet()
            add_adapters(net, self.settings.lora_rank, self.stream.at("lora"))
        if self.settings.gradient_checkpointing:
            for module in net.modules():
                if hasattr(module, "enable_gradient_checkpointing"):  # the whole of a diffusers model, not its parts
                    cast("ModelMixin", module).enable_gradient_checkpointing()
        return net

    # ------------------------------------------------------------ ask, sample

    def denoiser(self) -> Denoiser:
        """theta for t >= k, the frozen base below."""
        tuned = self.task.denoiser(self.cost, self.unet)
        if self.first == 0:
            return tuned
        threshold = (
            sigmas_of(self.alphas_cumprod.double())[self.first].item() if self.first < self.total else float("inf")
        )
        return SwitchedDenoiser(tuned, self.task.denoiser(self.cost, self.base), threshold)

    def ask(self, k: int) -> Query:
        return Query(self.draw(self.denoiser(), k, self.stream.at("ask", round=self.round)), self.condition(k))

    def sample(self, n: int) -> Tensor:
        if self.round == 0:
            return self.base_latents(n)
        return self.draw(self.denoiser(), n, self.stream.at("sample"))

    # ------------------------------------------------------------ tell

    def tell(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        if self.settings.anchor == "previous":
            self.anchor = twin(self.unet)
        latents, liking = (self.seen.latents, self.seen.liking) if self.settings.accumulate else self.seen.last()
        usable = ~np.isnan(liking)
        if self.settings.negatives == "none":
            usable &= liking > 0.5
        chosen = np.flatnonzero(usable)
        if len(chosen) and self.first < self.total:
            self._train(latents[torch.from_numpy(chosen)], 2 * liking[chosen] - 1)
        self.round += 1

    def _train(self, x0: Tensor, feedback: np.ndarray) -> None:
        """The Adam steps of one round on (n, ...) items with feedback r = 2s - 1 in [-1, 1]."""
        stream = self.stream.at("train", round=self.round)
        order = self._item_order(len(x0), stream.at("items"))
        losses = []
        for update, items in enumerate(order):
            address = stream.at(update=update)
            noise = self._noise(address.at("eps"), self._strata())
            pairs = self.pairs(feedback[items], address.at("timesteps"))
            losses.append(self._gradient(x0[torch.from_numpy(items)], noise, pairs))
            self.optimizer.step()
        self._losses = tuple(np.mean(losses, axis=0).tolist())

    def _gradient(self, x0: Tensor, noise: Any, pairs: Pairs) -> tuple[float, float]:
        """The gradient of one update, and its two losses.

        In half precision the loss is scaled; where that makes a gradient infinite, the scale is halved and the
        update computed again, so no update is lost.

        Raises:  DiffusionDivergedError where even the loss itself has gradients that are not finite.
        """
        scale = self.loss_scale
        while True:
            self.optimizer.zero_grad()
            losses = accumulate_gradients(
                self.unet,
                self.base,
                self.anchor,
                self.alphas_cumprod,
                x0,
                noise,
                pairs,
                self.settings.chunk,
                self.cost,
                scale or 1.0,
            )
            if scale is None or unscaled(self.trained.values(), scale):
                self.loss_scale = scale
                return losses
            scale /= 2
            if scale < 1:
                raise DiffusionDivergedError("a gradient is NaN or infinite; lower lr, or set dtype: fp32")

    def _item_order(self, n: int, stream: Stream) -> np.ndarray:
        """(updates, items) indices: permutations of all items one after another, so each is used equally often."""
        rng, needed = stream.generator(), self.settings.updates * self.settings.items
        order = np.concatenate([rng.permutation(n) for _ in range(-(-needed // n))])
        return order[:needed].reshape(self.settings.updates, self.settings.items)

    def _strata(self) -> int:
        """Timesteps per item. EPAPA keeps PAPA's stratum width."""
        trained = self.total - self.first
        if self.settings.timesteps == "exact":
            return trained
        return max(1, round(self.settings.timesteps * trained / self.total))

    def _noise(self, stream: Stream, strata: int) -> Any:
        draws = 1 if self.settings.shared_noise else strata
        shape = self.task.shape

        def eps(item: int) -> Tensor:
            drawn = torch.from_numpy(stream.at(item=item).normal(draws, *shape))
            return drawn.expand(strata, *shape)

        return eps

    def pairs(self, feedback: np.ndarray, stream: Stream) -> Pairs:
        """The (item, timestep) pairs of one update for (m,) feedback r, with the weights of both terms."""
        settings, strata, trained = self.settings, self._strata(), self.total - self.first
        if settings.timesteps == "exact":
            timesteps = torch.arange(self.first, self.total).expand(len(feedback), -1)
        else:
            timesteps = stratified_timesteps(stream.uniform(len(feedback), strata), self.first, self.total)
        r = torch.from_numpy(feedback)[:, None]
        mean = 1 / len(feedback)
        preference = settings.c_pref * mean * r * self._timestep_weights()[timesteps] * (trained / strata)
        near = torch.full_like(preference, settings.c_qpde * mean * (trained / self.total) / strata)
        if settings.qpde_timesteps == "last":
            near = torch.where(timesteps == self.total - 1, near * strata, 0.0)
        if settings.qpde_on == "liked":
            near = torch.where(r > 0, near, 0.0)
        ceiling = 1 + settings.margin if settings.negatives == "bounded" else None
        return Pairs(timesteps, preference.float(), near.float(), ceiling)

    def _timestep_weights(self) -> Tensor:
        """(T,) weights of sum 1 over all T timesteps."""
        if self.settings.weights == "uniform":
            return torch.full((self.total,), 1 / self.total, dtype=torch.float64)
        return lambda_weights(self.alphas_cumprod, self.settings.first_weight)

    # ------------------------------------------------------------ records

    def aligned(self) -> nn.Module:
        """The tuned network.

        Raises:  SettingsError for EPAPA, which samples with two networks.
        """
        if self.first:
            raise SettingsError(
                f"frozen_below: {self.settings.frozen_below:g} samples with two networks, the tuned one and below "
                f"timestep {self.first} the base, and a pipeline folder holds one. Export a run with frozen_below: 0."
            )
        return self.unet

    def diagnostics(self) -> dict[str, float]:
        figures = {"loss_preference": self._losses[0], "loss_anchor": self._losses[1]}
        return figures if self.loss_scale is None else figures | {"loss_scale": self.loss_scale}

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
