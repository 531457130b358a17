"""The surrogate on the diffusion model's own activations: a Bayesian logistic head.

An item's features are the spatial means of the mid block and of every up block of the base network (of the branch with
the prompt), where the clean latent is noised to a few low levels with one noise for all items, beside mean and standard
deviation of each channel of the latent; all standardized on base samples. The head is `papa.methods.shared.surrogate.
laplace`: fitted in milliseconds, with a variance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from papa.errors import ModelError
from papa.methods.shared.surrogate import SurrogateSettings
from papa.methods.shared.surrogate.interface import Known
from papa.methods.shared.surrogate.laplace import Posterior, fitted
from papa.rng import Stream


def spatial_means(net: nn.Module, x_t: Tensor, t: Tensor) -> Tensor:
    """(n, F) means over all places: of a UNet's mid block and up blocks, of a transformer's blocks at a third, at two
    thirds and at the end of its depth.

    Raises:  ModelError for another network.
    """
    found: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        # A transformer's block returns the prompt's tokens and the picture's, (n, tokens, width).
        mean = output[1].mean(1) if tokens else (output[0] if isinstance(output, tuple) else output).flatten(2).mean(2)
        found.append(mean)

    blocks, tokens = _blocks(net)
    hooks = [block.register_forward_hook(keep) for block in blocks]
    try:
        net(x_t, t)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(found, 1)


def _blocks(net: nn.Module) -> tuple[list[nn.Module], bool]:
    """The blocks that are looked at, and whether their outputs are tokens."""
    inner: Any = getattr(net, "network", net)  # without its prompt
    if hasattr(inner, "mid_block"):
        return [inner.mid_block, *inner.up_blocks], False
    if hasattr(inner, "transformer_blocks"):
        depth = len(inner.transformer_blocks)
        return [inner.transformer_blocks[i] for i in sorted({depth // 3, 2 * depth // 3, depth - 1})], True
    raise ModelError(f"a {type(inner).__name__} has no blocks whose activations are known; set surrogate.kind: conv.")


class FeatureSurrogate:
    """The surrogate.

    Raises:  ModelError for a model without a network.
    """

    def __init__(self, settings: SurrogateSettings, known: Known) -> None:
        self.settings, self.known = settings, known
        if known.model.alphas_cumprod is None:
            raise ModelError("surrogate.kind: features needs a model with a network; take kind: conv.")
        self.abar = known.model.alphas_cumprod.double()
        self.net = known.model.frozen_network()
        self.levels = [round(level * (len(self.abar) - 1)) for level in settings.levels]
        self.standard: tuple[Tensor, Tensor] | None = None
        self.posterior: Posterior | None = None

    def raw(self, latents: Tensor) -> Tensor:
        """(n, F) features as they are, float64."""
        return torch.cat([self._raw(part) for part in latents.split(self.known.model.chunk)])

    def _raw(self, latents: Tensor) -> Tensor:
        flat = latents.flatten(2)
        found = [flat.mean(2), flat.std(2, correction=0)]
        for index, level in enumerate(self.levels):
            a = self.abar[level].to(latents)
            noise = torch.from_numpy(self.known.stream.at("features", level=index).normal(*latents.shape[1:]))
            x_t = a.sqrt() * latents + (1 - a).sqrt() * noise.to(latents)
            t = torch.full((len(latents),), level, device=latents.device)
            cost = self.known.cost()
            cost.forward += len(latents)
            cost.backward += len(latents) * latents.requires_grad
            found.append(spatial_means(self.net, x_t, t))
        return torch.cat([of.double().cpu() for of in found], 1)

    def features(self, latents: Tensor) -> Tensor:
        """(n, F) standardized features."""
        if self.standard is None:
            with torch.no_grad():
                reference = self.raw(self.known.base(self.settings.reference))
            deviation, mean = torch.std_mean(reference, 0)
            self.standard = mean, deviation.clamp(min=1e-8)
        mean, deviation = self.standard
        return (self.raw(latents) - mean) / deviation

    def at(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the preference, (n,) each: of sigma(f), to first order in f's deviation."""
        assert self.posterior is not None
        mean, variance = self.posterior.at(self.features(latents))
        p = torch.sigmoid(mean)
        return self.posterior.probability_of(mean, variance), p * (1 - p) * variance.sqrt()

    def fit(self, latents: Tensor, preference: np.ndarray, stream: Stream) -> float:
        answered = np.flatnonzero(~np.isnan(preference))
        if not len(answered):
            return float("nan")
        y = torch.from_numpy(preference[answered]).double()
        with torch.no_grad():
            phi = self.features(latents[torch.from_numpy(answered)])
            self.posterior = fitted(phi, y)
            return (self.posterior.probability(phi) - y).square().mean().item()

    def __call__(self, latents: Tensor) -> Tensor:
        if self.posterior is None:  # nothing was answered: nothing is known
            return 0.5 + 0.0 * latents.flatten(1).sum(1)
        return self.posterior.probability(self.features(latents)).to(latents)

    def state(self) -> dict[str, Any]:
        return {"standard": self.standard, "posterior": None if self.posterior is None else vars(self.posterior).copy()}

    def restore(self, state: dict[str, Any]) -> None:
        self.standard = state["standard"]
        self.posterior = None if state["posterior"] is None else Posterior(**state["posterior"])
