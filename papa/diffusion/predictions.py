"""Network predictions converted to noise: samplers and losses take one kind of network, (x_t, t) -> eps.

x_t is the VP view with `alphas_cumprod` = abar, t an index into it (fractional ones are between two levels). A network
with another prediction or in another view is translated:

    epsilon       eps
    v_prediction  eps = sqrt(abar) v + sqrt(1 - abar) x_t                          (Salimans & Ho 2022, appendix D)
    flow          z = (1 - tau) x_0 + tau eps and v = eps - x_0, so eps = z + (1 - tau) v      (Lipman et al. 2023)

A flow's z is the VE view in another scale: y = z / (1 - tau), sigma = tau / (1 - tau).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from papa.diffusion.schedule import sigmas_of


class Prediction(Protocol):
    """The inputs and the output of a network, for (n, ...) x_t and (n,) t."""

    def inputs(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The network's inputs."""
        ...

    def noise(self, x_t: Tensor, t: Tensor, predicted: Tensor) -> Tensor:
        """(n, ...) noise from the network's output at `inputs(x_t, t)`."""
        ...


class Epsilon:
    """The network predicts the noise itself."""

    def inputs(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return x_t, t

    def noise(self, x_t: Tensor, t: Tensor, predicted: Tensor) -> Tensor:
        return predicted


@dataclass(frozen=True)
class _OnLevels:
    """A prediction that depends on the noise level. sigmas: (T,) float64 VE levels of the training steps, rising."""

    sigmas: Tensor

    @classmethod
    def of(cls, alphas_cumprod: Tensor) -> Self:
        return cls(sigmas_of(alphas_cumprod.double()))

    def sigma(self, t: Tensor, like: Tensor) -> Tensor:
        """(n, 1, ...) levels of (n,) steps, to multiply `like` by; linear between two steps."""
        levels = self.sigmas.to(t.device)
        below = t.detach().double().floor().long().clamp(0, len(levels) - 2)
        part = t.double() - below
        found = levels[below] + part * (levels[below + 1] - levels[below])
        return found.to(like.dtype).reshape(-1, *[1] * (like.ndim - 1))


class Velocity(_OnLevels):
    """v = sqrt(abar) eps - sqrt(1 - abar) x_0 of the VP view."""

    def inputs(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return x_t, t

    def noise(self, x_t: Tensor, t: Tensor, predicted: Tensor) -> Tensor:
        sigma = self.sigma(t, x_t)
        return (predicted + sigma * x_t) / (1 + sigma**2).sqrt()


class Flow(_OnLevels):
    """The velocity eps - x_0 of a straight path, at the time tau in (0, 1) of the noise level of a step."""

    def inputs(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """z and (n,) tau."""
        sigma = self.sigma(t, x_t)
        return x_t * (1 + sigma**2).sqrt() / (1 + sigma), (sigma / (1 + sigma)).flatten()

    def noise(self, x_t: Tensor, t: Tensor, predicted: Tensor) -> Tensor:
        sigma = self.sigma(t, x_t)
        return (x_t * (1 + sigma**2).sqrt() + predicted) / (1 + sigma)


class NoisePredictor(nn.Module):
    """A network as a predictor of noise: (x_t, t) -> an object whose `sample` is eps."""

    def __init__(self, network: Any, prediction: Prediction) -> None:
        super().__init__()
        self.network, self.prediction = network, prediction

    def forward(self, x_t: Tensor, t: Tensor) -> SimpleNamespace:
        found = self.network(*self.prediction.inputs(x_t, t)).sample
        return SimpleNamespace(sample=self.prediction.noise(x_t, t, found))


def alphas_of_flow(times: Tensor) -> Tensor:
    """(T,) float64 `alphas_cumprod` with the noise levels of a flow's training times.

    Args:
        times: (T,) rising, in (0, 1]. At 1, where the level is infinite, half-way between the time before and 1.

    Raises:
        ValueError: for other times.
    """
    tau = times.double().clone()
    if len(tau) < 2 or not (float(tau[0]) > 0 and float(tau[-1]) <= 1 and bool((tau.diff() > 0).all())):
        raise ValueError("the times of a flow must rise within (0, 1]")
    if tau[-1] == 1:
        tau[-1] = (1 + tau[-2]) / 2
    return 1 / (1 + (tau / (1 - tau)) ** 2)


def flow_sigmas(times: Tensor, largest: float) -> Tensor:
    """(n + 1,) float64 VE noise levels of a flow's sampling times.

    Args:
        times: (n + 1,) falling from at most 1 to 0.
        largest: level of the pure noise, in place of infinity.
    """
    tau = times.double()
    return torch.where(tau < 1, tau / (1 - tau), torch.inf).clamp(max=largest)
