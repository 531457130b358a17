"""Reward models: they learn a user's preference of clean latents from few labels."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from papa.diffusion.denoiser import Cost
from papa.errors import DivergedError, ModelError
from papa.methods._laplace import Posterior, fitted
from papa.methods._surrogate import SurrogateSettings
from papa.models.interface import Model
from papa.rng import Stream


@dataclass(frozen=True)
class SurrogateContext:
    """Inputs of a reward model from its method: the diffusion model, random numbers, n -> the first n base samples,
    and the cost to count evaluations in."""

    model: Model
    stream: Stream
    base: Callable[[int], Tensor]
    cost: Callable[[], Cost]


class RewardModel(ABC):
    """A reward model: (n, ...) clean latents -> (n,) preference, differentiable."""

    has_variance: ClassVar[bool] = False
    """Whether it predicts a standard deviation too (`predict`, `joint`)."""

    @abstractmethod
    def __init__(self, settings: SurrogateSettings, context: SurrogateContext) -> None: ...

    @abstractmethod
    def __call__(self, latents: Tensor) -> Tensor: ...

    def fit(self, latents: Tensor, preference: np.ndarray, stream: Stream) -> float:
        """Fit all labels (NaN = unanswered); returns the mean squared error of those with an answer."""
        answered = torch.from_numpy(np.flatnonzero(~np.isnan(preference)))
        if not len(answered):
            return math.nan
        return self._fit(latents[answered], torch.from_numpy(preference)[answered], stream)

    @abstractmethod
    def _fit(self, latents: Tensor, preference: Tensor, stream: Stream) -> float:
        """Fit (n, ...) latents to their (n,) float64 preference."""

    def features(self, latents: Tensor) -> Tensor:
        """(n, F) float64 features in which distances are measured; the latents themselves by default."""
        return latents.flatten(1).double().cpu()

    def predict(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the preference, (n,) each."""
        raise NotImplementedError

    def joint(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (n,) and covariance (n, n) of the logits at (n, F) features."""
        raise NotImplementedError


class ConvRewardModel(RewardModel):
    """Conv2d(C -> 128, 3x3) - ReLU - AdaptiveAvgPool2d(1) - MLP(128 -> 256 -> 128 -> 1), fitted by MSE.

    Source: the FKC draft, "Surrogate Reward Model". The ReLU before the pooling is ours; without it the pooled features
    are linear in the image. On points (n, d) the convolution is a linear layer.
    """

    def __init__(self, settings: SurrogateSettings, context: SurrogateContext) -> None:
        shape, width = context.model.shape, settings.channels
        if len(shape) == 3:
            lift = (nn.Conv2d(shape[0], width, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        else:
            lift = (nn.Linear(shape[0], width), nn.ReLU())
        mlp = (nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 1))
        self.settings = settings
        self.net = nn.Sequential(*lift, *mlp)
        initialize(self.net, context.stream.at("init"))
        self.net.to(context.model.device)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=settings.lr, fused=True)

    def __call__(self, latents: Tensor) -> Tensor:
        return self.net(latents.float()).squeeze(-1)

    def _fit(self, latents: Tensor, preference: Tensor, stream: Stream) -> float:
        x = latents.float()
        y = preference.to(x)
        rng, loss = stream.generator(), torch.zeros(())
        with torch.enable_grad():
            for _ in range(self.settings.epochs):
                order = torch.from_numpy(rng.permutation(len(x))).to(latents.device)
                largest = []
                for part in order.split(self.settings.batch):
                    error = self(x[part]) - y[part]
                    loss = error.square().mean()
                    self.optimizer.zero_grad()
                    loss.backward()
                    self.optimizer.step()
                    largest.append(error.detach().abs().max())
                if torch.stack(largest).max().item() < self.settings.early_stop:
                    break
        if not math.isfinite(loss.item()):
            raise DivergedError("the surrogate's error is NaN or infinite; lower surrogate.lr")
        return loss.item()


def initialize(net: nn.Module, stream: Stream) -> None:
    """PyTorch's default uniform initialization of convolutions and linear layers, from a named stream."""
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for kind, parameter in layer.named_parameters(recurse=False):
                values = (2 * stream.at(f"net.{name}", kind).uniform(*parameter.shape) - 1) * bound
                parameter.data.copy_(torch.from_numpy(values))


class FeatureRewardModel(RewardModel):
    """A Bayesian logistic head (`papa.methods._laplace`) on the base network's activations.

    Features: spatial means of the mid block and of every up block (of the branch with the prompt) at a few low noise
    levels, with one noise for all items, and mean and standard deviation of each channel of the latent; all
    standardized on base samples.
    """

    has_variance = True

    def __init__(self, settings: SurrogateSettings, context: SurrogateContext) -> None:
        self.settings, self.context = settings, context
        if context.model.alphas_cumprod is None:
            raise ModelError("surrogate.kind: features needs a model with a network; take kind: conv.")
        self.abar = context.model.alphas_cumprod.double()
        self.net = context.model.frozen_network()
        self.levels = [round(level * (len(self.abar) - 1)) for level in settings.levels]
        self.standard: tuple[Tensor, Tensor] | None = None
        self.posterior: Posterior | None = None

    def raw(self, latents: Tensor) -> Tensor:
        """(n, F) features before standardization, float64."""
        return torch.cat([self._raw(part) for part in latents.split(self.context.model.chunk)])

    def _raw(self, latents: Tensor) -> Tensor:
        flat = latents.flatten(2)
        found = [flat.mean(2), flat.std(2, correction=0)]
        for index, level in enumerate(self.levels):
            a = self.abar[level].to(latents)
            noise = torch.from_numpy(self.context.stream.at("features", level=index).normal(*latents.shape[1:]))
            x_t = a.sqrt() * latents + (1 - a).sqrt() * noise.to(latents)
            t = torch.full((len(latents),), level, device=latents.device)
            cost = self.context.cost()
            cost.forward += len(latents)
            cost.backward += len(latents) * latents.requires_grad
            found.append(spatial_means(self.net, x_t, t))
        return torch.cat([of.double().cpu() for of in found], 1)

    def features(self, latents: Tensor) -> Tensor:
        if self.standard is None:
            with torch.no_grad():
                reference = self.raw(self.context.base(self.settings.reference))
            deviation, mean = torch.std_mean(reference, 0)
            self.standard = mean, deviation.clamp(min=1e-8)
        mean, deviation = self.standard
        return (self.raw(latents) - mean) / deviation

    def predict(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of sigma(f), and its standard deviation to first order in that of f."""
        assert self.posterior is not None
        mean, variance = self.posterior.at(self.features(latents))
        p = torch.sigmoid(mean)
        return self.posterior.probability_of(mean, variance), p * (1 - p) * variance.sqrt()

    def joint(self, features: Tensor) -> tuple[Tensor, Tensor]:
        assert self.posterior is not None
        return self.posterior.joint(features)

    def _fit(self, latents: Tensor, preference: Tensor, stream: Stream) -> float:
        with torch.no_grad():
            phi = self.features(latents)
            self.posterior = fitted(phi, preference)
            return (self.posterior.probability(phi) - preference).square().mean().item()

    def __call__(self, latents: Tensor) -> Tensor:
        if self.posterior is None:
            return 0.5 + 0.0 * latents.flatten(1).sum(1)
        return self.posterior.probability(self.features(latents)).to(latents)


def spatial_means(net: nn.Module, x_t: Tensor, t: Tensor) -> Tensor:
    """(n, F) spatial means of activations: of a UNet's mid and up blocks, or of three blocks of a transformer (after
    one third, two thirds and all of its depth)."""
    inner: Any = getattr(net, "network", net)  # without its prompt
    tokens = not hasattr(inner, "mid_block")
    if not tokens:
        blocks = [inner.mid_block, *inner.up_blocks]
    elif hasattr(inner, "transformer_blocks"):
        depth = len(inner.transformer_blocks)
        blocks = [inner.transformer_blocks[i] for i in sorted({depth // 3, 2 * depth // 3, depth - 1})]
    else:
        raise ModelError(f"a {type(inner).__name__} has no known blocks of activations; set surrogate.kind: conv.")
    found: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        # A transformer's block returns tokens of the prompt and of the image, (n, tokens, width).
        found.append(
            output[1].mean(1) if tokens else (output[0] if isinstance(output, tuple) else output).flatten(2).mean(2)
        )

    hooks = [block.register_forward_hook(keep) for block in blocks]
    try:
        net(x_t, t)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(found, 1)


class KernelRewardModel(RewardModel):
    """Nadaraya-Watson regression of the labels on the latents with a Gaussian kernel; nothing is trained.

        s(x) = sum_i w_i s_i / sum_i w_i,   w_i = exp(-||x - x_i||^2 / (2 h^2)),   h = bandwidth * median ||x_i - x_j||

    Source: Nadaraya 1964; Watson 1964.
    """

    def __init__(self, settings: SurrogateSettings, context: SurrogateContext) -> None:
        self.bandwidth = settings.bandwidth
        self.latents: Tensor | None = None  # (n, d) float64 of the labelled items
        self.preference = torch.empty(0)  # (n,)
        self.h = 1.0

    def __call__(self, latents: Tensor) -> Tensor:
        if self.latents is None:
            return 0.5 + 0.0 * latents.flatten(1).sum(1)
        x = latents.flatten(1).double()
        squared = (x[:, None] - self.latents).square().sum(-1)
        return ((-squared / (2 * self.h**2)).softmax(1) @ self.preference).to(latents)

    def _fit(self, latents: Tensor, preference: Tensor, stream: Stream) -> float:
        self.latents = latents.flatten(1).double()
        self.preference = preference.to(self.latents)
        distances = torch.pdist(self.latents)
        median = float(distances.quantile(0.5)) if len(distances) else 0.0
        self.h = self.bandwidth * (median or 1.0)
        with torch.no_grad():
            return (self(latents).double() - self.preference).square().mean().item()


KINDS: dict[str, type[RewardModel]] = {
    "conv": ConvRewardModel,
    "features": FeatureRewardModel,
    "kernel": KernelRewardModel,
}
