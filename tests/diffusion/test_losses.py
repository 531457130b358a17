"""The denoising loss that fine-tuning methods share: its gradient over chunks, its cost, and stratified timesteps."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from papa.diffusion.denoiser import Cost
from papa.diffusion.losses import denoising_gradient, noised, stratified_timesteps
from papa.errors import DivergedError
from papa.rng import Stream

TOTAL, ITEMS, SHAPE = 40, 3, (2, 3)
ABAR = torch.cumprod(1 - torch.linspace(1e-3, 0.2, TOTAL, dtype=torch.float64), 0)
X0 = torch.from_numpy(Stream(0).at("x0").normal(ITEMS, *SHAPE))
WEIGHTS = torch.from_numpy(Stream(0).at("weights").normal(ITEMS, TOTAL))  # of both signs


class Small(nn.Module):
    """A network that depends on the state and the timestep, not linearly."""

    def __init__(self) -> None:
        super().__init__()
        parts = ((6, 7), (7, 6))
        drawn = [torch.from_numpy(Stream(1).at(layer=i).normal(*shape)) for i, shape in enumerate(parts)]
        self.first, self.second = map(nn.Parameter, drawn)

    def forward(self, x_t: Tensor, t: Tensor) -> SimpleNamespace:
        hidden = torch.tanh(x_t.flatten(1) @ self.first + t[:, None] / TOTAL)
        return SimpleNamespace(sample=(hidden @ self.second).view_as(x_t))

    def gradient(self) -> Tensor:
        """All gradients as one vector."""
        found = [p.grad for p in self.parameters()]
        assert all(part is not None for part in found)
        return torch.cat([part.flatten() for part in found if part is not None])


def eps_of(strata: int) -> Callable[[int], Tensor]:
    def eps(item: int) -> Tensor:
        return torch.from_numpy(Stream(2).at(item=item).normal(strata, *SHAPE))

    return eps


def every_timestep() -> Tensor:
    return torch.arange(TOTAL).expand(ITEMS, -1)


def whole_sum(net: Small, x0: Tensor = X0) -> Tensor:
    """The weighted sum of errors, term by term as the formula has it."""
    loss, eps = torch.zeros(()), eps_of(TOTAL)
    for i in range(ITEMS):
        for t in range(TOTAL):
            abar, noise = ABAR[t].float(), eps(i)[t]
            x_t = abar.sqrt() * x0[i] + (1 - abar).sqrt() * noise
            error = (net(x_t[None], torch.tensor([t])).sample[0] - noise).square().mean()
            loss = loss + WEIGHTS[i, t] * error
    return loss


def accumulated(net: Small, chunk: int, cost: Cost | None = None, scale: float = 1.0, x0: Tensor = X0) -> float:
    return denoising_gradient(
        net, x0, every_timestep(), WEIGHTS, eps_of(TOTAL), ABAR, chunk, cost if cost is not None else Cost(), scale
    )


@pytest.mark.parametrize("chunk", [1, 7, TOTAL, TOTAL + 1, ITEMS * TOTAL, 1000])
def test_the_gradient_over_chunks_is_that_of_the_whole_sum(chunk: int) -> None:
    exact, net = Small(), Small()
    loss = whole_sum(exact)
    loss.backward()
    found = accumulated(net, chunk)
    assert found == pytest.approx(loss.item(), rel=1e-5)
    assert (net.gradient() - exact.gradient()).norm() <= 1e-5 * exact.gradient().norm()
    assert exact.gradient().norm() > 0.1


def test_gradients_are_added_to_those_that_are_there_and_scaled() -> None:
    once, twice = Small(), Small()
    value = accumulated(once, 16)
    for scale in (0.5, 3.0):
        assert accumulated(twice, 16, scale=scale) == pytest.approx(value, rel=1e-6), "the loss is without the scale"
    torch.testing.assert_close(twice.gradient(), 3.5 * once.gradient(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_every_pair_costs_one_evaluation_forward_and_one_backward(chunk: int) -> None:
    cost = Cost(forward=5, frozen=2)
    accumulated(Small(), chunk, cost)
    assert cost == Cost(forward=5 + ITEMS * TOTAL, backward=ITEMS * TOTAL, frozen=2)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_divergence_and_adds_no_gradient(bad: float) -> None:
    net = Small()
    with pytest.raises(DivergedError, match="lower lr"):
        accumulated(net, 1000, x0=torch.full_like(X0, bad))
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("chunk", [1, 4, 7, 1000])
def test_the_noise_of_a_pair_does_not_depend_on_the_chunk(chunk: int) -> None:
    timesteps = stratified_timesteps(Stream(0).uniform(ITEMS, 5), 0, TOTAL)
    parts = list(noised(X0, timesteps, eps_of(5), ABAR, chunk))
    expected = torch.cat([eps_of(5)(i) for i in range(ITEMS)])
    assert torch.equal(torch.cat([part.noise for part in parts]), expected)
    assert torch.equal(torch.cat([part.t for part in parts]), timesteps.flatten())
    assert max(len(part.t) for part in parts) <= chunk
    assert [index for part in parts for index in range(5 * ITEMS)[part.chosen]] == [*range(5 * ITEMS)]


@settings(max_examples=40)
@given(strata=st.integers(1, 30), first=st.integers(0, 50), count=st.integers(1, 150))
def test_every_timestep_is_drawn_equally_often_whether_or_not_k_divides_their_number(
    strata: int, first: int, count: int
) -> None:
    """Integrated over a fine grid of uniforms instead of drawn, so the mean is exact up to the grid."""
    strata, grid = min(strata, count), 4000
    u = np.repeat((np.arange(grid) + 0.5)[:, None] / grid, strata, axis=1)
    drawn = stratified_timesteps(u, first, first + count)
    assert drawn.shape == (grid, strata) and drawn.min() >= first and drawn.max() < first + count
    mean = np.bincount(drawn.flatten().numpy() - first, minlength=count) / grid * count / strata
    assert np.abs(mean - 1).max() <= 2 * count / strata / grid + 1e-9


@given(seed=st.integers(0, 99), strata=st.integers(1, 20))
def test_there_is_one_timestep_in_each_stratum(seed: int, strata: int) -> None:
    drawn = stratified_timesteps(Stream(seed).uniform(4, strata), 0, 20 * strata).numpy()
    assert (drawn // 20 == np.arange(strata)).all()


def test_uniforms_next_to_one_stay_in_range() -> None:
    u = np.full((1, 7), np.nextafter(1.0, 0.0))
    drawn = stratified_timesteps(u, 3, 10)
    assert drawn.min() >= 3 and drawn.max() == 9
