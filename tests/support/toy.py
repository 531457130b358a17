"""A diffusion model in the plane with a small network in float64, whose gradients can be held against differences."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from papa.diffusion.denoiser import Cost, Denoiser, UNetDenoiser
from papa.diffusion.schedule import log_spaced_sigmas
from papa.models.interface import Model
from papa.rng import Stream

T = 40


class Net(nn.Module):
    """(x_t, t) -> the noise, by two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()

    def forward(self, x_t: Tensor, t: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=self.net(torch.cat([x_t, t[:, None].to(x_t) / T], 1)))


class Toy(Model):
    """The model. Its network is random, so nothing that it draws means anything."""

    shape = (2,)
    dtype = torch.float64
    steps = 6

    def __init__(self, seed: int = 0) -> None:
        self.alphas_cumprod = torch.cumprod(1 - torch.linspace(1e-3, 0.2, T, dtype=torch.float64), 0)
        with Stream(seed).at("toy").seeding_torch():
            self.net = Net()

    def sigmas(self) -> Tensor:
        return log_spaced_sigmas(8.0, 0.1, self.steps)

    def denoiser(self, cost: Cost, network: nn.Module | None = None) -> Denoiser:
        assert self.alphas_cumprod is not None
        return UNetDenoiser(network or self.net, self.alphas_cumprod, cost=cost)

    def decode(self, latents: Tensor) -> Tensor:
        return latents

    def network(self) -> nn.Module:
        return copy.deepcopy(self.net)


def slope(value: Callable[[], float], weights: list[Tensor], direction: list[Tensor], step: float = 1e-5) -> float:
    """The derivative of a value along a direction of the weights, by central differences."""

    def at(factor: float) -> float:
        with torch.no_grad():
            for weight, along in zip(weights, direction, strict=True):
                weight.add_(along, alpha=factor)
        found = value()
        with torch.no_grad():
            for weight, along in zip(weights, direction, strict=True):
                weight.sub_(along, alpha=factor)
        return found

    return (at(step) - at(-step)) / (2 * step)
