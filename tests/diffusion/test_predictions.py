"""What networks predict, seen as noise: against a Gaussian, of which every prediction is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from papa.diffusion.denoiser import UNetDenoiser
from papa.diffusion.predictions import Flow, NoisePredictor, Velocity, alphas_of_flow, flow_sigmas
from papa.diffusion.schedule import sigmas_of

ABAR = torch.linspace(0.9999, 0.0047, 1000, dtype=torch.float64)
TIMES = torch.arange(1, 1001, dtype=torch.float64) / 1000
SPREAD, MEAN = 0.7, 0.3
"""Of the data, coordinate by coordinate."""


def clean(y: Tensor, sigma: Tensor) -> Tensor:
    """E[x_0 | y] of the Gaussian, in the VE view."""
    return MEAN + SPREAD**2 / (SPREAD**2 + sigma**2) * (y - MEAN)


class VelocityNet(torch.nn.Module):
    """v = sqrt(abar) eps - sqrt(1 - abar) x_0, exactly."""

    def forward(self, x: Tensor, t: Tensor) -> Any:
        sigma = torch.tensor(_level(ABAR, t), dtype=x.dtype)
        x0 = clean(x * (1 + sigma**2).sqrt(), sigma)
        eps = (x * (1 + sigma**2).sqrt() - x0) / sigma
        return SimpleNamespace(sample=(eps - sigma * x0) / (1 + sigma**2).sqrt())


class FlowNet(torch.nn.Module):
    """eps - x_0 at z = (1 - tau) x_0 + tau eps, exactly."""

    def forward(self, z: Tensor, tau: Tensor) -> Any:
        assert tau.shape == (len(z),)
        tau = tau.reshape(-1, *[1] * (z.ndim - 1))
        x0 = clean(z / (1 - tau), tau / (1 - tau))
        return SimpleNamespace(sample=(z - x0) / tau)


def _level(abar: Tensor, t: Tensor) -> float:
    return float(np.interp(float(t[0]), np.arange(len(abar)), sigmas_of(abar).numpy()))


@pytest.mark.parametrize(
    ("network", "prediction", "abar"),
    [
        (VelocityNet(), Velocity.of(ABAR), ABAR),
        (FlowNet(), Flow.of(alphas_of_flow(TIMES)), alphas_of_flow(TIMES)),
        (FlowNet(), Flow.of(alphas_of_flow(3 * TIMES / (1 + 2 * TIMES))), alphas_of_flow(3 * TIMES / (1 + 2 * TIMES))),
    ],
    ids=["velocity", "flow", "shifted flow"],
)
@given(where=st.floats(0.001, 0.9))
def test_a_network_is_the_denoiser_that_it_was_trained_as(
    network: torch.nn.Module, prediction: Any, abar: Tensor, where: float
) -> None:
    levels = sigmas_of(abar)
    sigma = float(levels[0] * (levels[-2] / levels[0]) ** where)
    y = (MEAN + sigma * torch.randn(4, 2, generator=torch.Generator().manual_seed(0))).double()
    found = UNetDenoiser(NoisePredictor(network, prediction), abar)(y, sigma)
    # The timestep is handed over in single precision, which moves the level by as much.
    torch.testing.assert_close(found, clean(y, torch.tensor(sigma)).double(), rtol=3e-4, atol=3e-4)


def test_a_flow_and_its_schedule_have_the_same_levels() -> None:
    sigmas = sigmas_of(alphas_of_flow(TIMES))
    torch.testing.assert_close(sigmas[:-1], (TIMES / (1 - TIMES))[:-1], rtol=1e-9, atol=0)
    assert 999 < sigmas[-1] < float("inf") and (sigmas.diff() > 0).all()
    drawn = flow_sigmas(torch.tensor([1.0, 0.5, 0.1, 0.0]), largest=float(sigmas[-1]))
    torch.testing.assert_close(drawn, torch.tensor([float(sigmas[-1]), 1.0, 1 / 9, 0.0]).double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("times", [[0.0, 0.5], [0.5, 0.5], [0.5, 1.2], [0.9, 0.1], [0.3]])
def test_times_that_are_no_flows_are_refused(times: list[float]) -> None:
    with pytest.raises(ValueError, match="must rise"):
        alphas_of_flow(torch.tensor(times))


def test_gradients_reach_the_network_through_the_translation() -> None:
    net = torch.nn.Linear(2, 2).double()

    class Wrapped(torch.nn.Module):
        def forward(self, x: Tensor, t: Tensor) -> Any:
            return SimpleNamespace(sample=net(x))

    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    for prediction in (Velocity.of(ABAR), Flow.of(alphas_of_flow(TIMES))):
        NoisePredictor(Wrapped(), prediction)(x, torch.tensor([10.0, 500.0, 900.5])).sample.square().sum().backward()
    assert net.weight.grad is not None and x.grad is not None and x.grad.isfinite().all()
