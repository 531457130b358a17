"""PAPA's loss: its gradients over chunks, what it counts, and where ascent is bounded."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.nets import small_unet
from support.small_papa import ABAR
from torch import Tensor, nn

from papa.diffusion.denoiser import Cost
from papa.diffusion.losses import stratified_timesteps
from papa.errors import DivergedError
from papa.methods.losses import Networks, Pairs, papa_gradient
from papa.rng import Stream

PLAIN = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}


@pytest.fixture(scope="module")
def nets() -> tuple[nn.Module, nn.Module]:
    """A network and another one in the part of the base."""
    return small_unet(0, **PLAIN), small_unet(1, **PLAIN).requires_grad_(False)


X0 = torch.from_numpy(Stream(0).at("x0").normal(3, 1, 8, 8)).clamp(-1, 1)
STRATA = 5


def eps(item: int) -> Tensor:
    return torch.from_numpy(Stream(0).at(item=item).normal(STRATA, 1, 8, 8))


def pairs(ceiling: float | None = None) -> Pairs:
    """Three items, the second one disliked; the last one without a second term."""
    timesteps = stratified_timesteps(Stream(1).uniform(3, STRATA), 0, 1000)
    preference = torch.tensor([[1.0], [-1.0], [0.5]]) * torch.linspace(0.1, 1, STRATA) / 3
    near = torch.tensor([[1.0], [1.0], [0.0]]).expand(3, STRATA) / 3 / STRATA
    return Pairs(timesteps, preference, near.contiguous(), ceiling)


def gradients(net: nn.Module, base: nn.Module, chunk: int, anchor: nn.Module | None = None, **kw: Any):
    """The loss's two terms, its gradient as one vector, and its cost."""
    net.zero_grad()
    cost = Cost()
    terms = papa_gradient(Networks(net, base, anchor or base), ABAR, X0, eps, pairs(**kw), chunk, cost)
    return terms, torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]).clone(), cost


@pytest.mark.parametrize("ceiling", [None, 2.0, 0.5])
@pytest.mark.parametrize("chunk", [1, 2, 4, 7, 14])
def test_gradients_over_chunks_are_the_gradient_of_the_whole(nets, chunk: int, ceiling: float | None) -> None:
    whole_terms, whole, whole_cost = gradients(*nets, chunk=1000, ceiling=ceiling)
    terms, parts, cost = gradients(*nets, chunk=chunk, ceiling=ceiling)
    assert (parts - whole).norm() <= 1e-5 * whole.norm() and whole.norm() > 1e-3
    assert terms == pytest.approx(whole_terms, rel=1e-5)
    assert (cost.forward, cost.backward) == (whole_cost.forward, whole_cost.backward)


def test_the_loss_is_the_formula(nets) -> None:
    """Item by item and timestep by timestep, in the plainest way."""
    net, base = nets
    p, loss = pairs(), torch.zeros(2)
    for i in range(3):
        for k in range(STRATA):
            t = p.timesteps[i, k]
            abar, noise = ABAR[t], eps(i)[k]
            x_t = (abar.sqrt() * X0[i] + (1 - abar).sqrt() * noise)[None]
            predicted, reference = net(x_t, t[None]).sample[0], base(x_t, t[None]).sample[0]
            loss = loss + torch.stack(
                [
                    p.preference[i, k] * ((noise - predicted) ** 2).mean(),
                    p.anchor[i, k] * ((predicted - reference) ** 2).mean(),
                ]
            )
    net.zero_grad()
    loss.sum().backward()
    expected = torch.cat([q.grad.flatten() for q in net.parameters() if q.grad is not None])
    terms, found, _ = gradients(net, base, chunk=1000)
    assert terms == pytest.approx(loss.tolist(), rel=1e-5)
    assert (found - expected).norm() <= 1e-5 * expected.norm()


def test_another_anchor_than_the_base_is_what_the_second_term_stays_near(nets) -> None:
    net, base = nets
    itself = copy.deepcopy(net).requires_grad_(False)
    terms, _, cost = gradients(net, base, chunk=1000, anchor=itself, ceiling=2.0)
    assert terms[1] == 0.0
    assert terms[0] == pytest.approx(gradients(net, base, chunk=1000, ceiling=2.0)[0][0], rel=1e-5)
    assert cost.frozen == 3 * STRATA + 3 * STRATA  # base and anchor each on the whole chunk of three items


def test_evaluations_are_counted_and_the_frozen_ones_apart(nets) -> None:
    # Three of four chunks need the base.
    assert gradients(*nets, chunk=4)[2] == Cost(forward=15, backward=15, frozen=12)


def test_a_loss_that_is_no_number_is_an_error(nets) -> None:
    broken = copy.deepcopy(nets[0])
    next(broken.parameters()).data.fill_(float("nan"))
    with pytest.raises(DivergedError, match="lower lr"):
        gradients(broken, nets[1], chunk=4)


class Constant(nn.Module):
    """A network that predicts one number everywhere."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, x: Tensor, t: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=self.value.expand_as(x))


def slope(value: float, sign: float, ceiling: float | None) -> float:
    """d loss / d value of a network that predicts `value` where 0 is right and the base predicts 1."""
    net = Constant(value)
    one = torch.ones(1, 1)
    p = Pairs(torch.zeros(1, 1, dtype=torch.int64), sign * one, 0 * one, ceiling)
    base = Constant(1.0).requires_grad_(False)
    papa_gradient(Networks(net, base, base), ABAR, X0[:1], lambda item: torch.zeros(1, 1, 8, 8), p, 8, Cost())
    assert net.value.grad is not None
    return net.value.grad.item()


def test_bounded_ascent_has_no_gradient_beyond_the_ceiling_and_published_ascent_has() -> None:
    # The base's error is 1, so a ceiling of 2 stands at a value of sqrt(2).
    assert slope(1.5, -1, ceiling=2.0) == 0.0
    assert slope(1.5, -1, ceiling=None) == pytest.approx(-3.0)
    assert slope(100.0, -1, ceiling=2.0) == 0.0
    assert slope(1.3, -1, ceiling=2.0) == slope(1.3, -1, ceiling=None) == pytest.approx(-2.6)


def test_the_ceiling_holds_for_disliked_items_alone() -> None:
    assert slope(1.5, +1, ceiling=2.0) == pytest.approx(3.0)
