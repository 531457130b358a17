"""PAPA and EPAPA over whole rounds: what moves the model, what does not, and which items count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.small_papa import method, update
from torch import Tensor, nn

from papa.benchmark.tasks.digits.task import Digits
from papa.diffusion.denoiser import Cost
from papa.feedback import Feedback, Query
from papa.methods.losses import Networks, papa_gradient
from papa.methods.papa import EpapaSettings, Papa
from papa.rng import Stream


def session(papa: Papa, rounds: int = 2, k: int = 3, preference: Callable[[int], list[float]] | None = None) -> Tensor:
    """A few rounds with made-up answers; returns samples."""
    for h in range(rounds):
        query: Query = papa.ask(k)
        answers = np.array(preference(h) if preference else [1.0, 0.0, 1.0][:k])
        papa.tell(query, Feedback(answers, answers))
    return papa.sample(4)


def parameters(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_epapa_at_k_zero_is_papa_bit_for_bit(digits: Digits) -> None:
    papa, epapa = method(digits), method(digits, EpapaSettings, frozen_below=0.0)
    assert torch.equal(session(papa), session(epapa))
    assert torch.equal(parameters(papa.network), parameters(epapa.network)) and papa.cost == epapa.cost
    assert not torch.equal(session(method(digits)), session(method(digits, EpapaSettings)))


def test_epapa_neither_trains_nor_samples_below_k(digits: Digits) -> None:
    epapa = method(digits, EpapaSettings, timesteps="exact", items=2)
    assert epapa.first == 80 and epapa.pairs(update(digits, np.ones(2))).timesteps.min() == 80
    session(epapa, rounds=1)
    levels = ((1 - digits.model.alphas_cumprod) / digits.model.alphas_cumprod).sqrt()
    y = torch.zeros(1, 1, 8, 8)
    below, above = float(levels[79]), float(levels[81])
    base = digits.model.denoiser(Cost())
    assert torch.equal(epapa.denoiser()(y, below), base(y, below))
    assert not torch.equal(epapa.denoiser()(y, above), base(y, above))


def test_frozen_altogether_is_the_base(digits: Digits) -> None:
    frozen = method(digits, EpapaSettings, frozen_below=1.0)
    samples = session(frozen)
    assert frozen.cost.backward == 0
    base = frozen.draw(digits.model.denoiser(Cost()), 4, frozen.stream.at("sample"))
    torch.testing.assert_close(samples, base, atol=1e-4, rtol=0)  # the copy runs through other kernels: last bits


VARIANTS: list[dict[str, Any]] = [
    {},
    {"preset": "published", "updates": 1, "timesteps": 4},
    {"qpde_on": "liked"},
    {"anchor": "previous"},
    {"weights": "lambda"},
    {"chunk": 3},
]


NAMES = ["default", "published", "liked", "previous", "lambda", "chunk"]


@pytest.mark.parametrize("variant", VARIANTS, ids=NAMES)
def test_without_the_preference_term_the_model_stays_at_the_base_bit_for_bit(digits, variant: dict[str, Any]) -> None:
    papa = method(digits, **variant, c_pref=0.0)
    session(papa)
    assert papa.cost.backward > 0
    assert torch.equal(parameters(papa.network), parameters(papa.base))


@pytest.mark.parametrize("variant", VARIANTS, ids=NAMES)
def test_with_it_the_model_moves_and_the_base_does_not(digits: Digits, variant: dict[str, Any]) -> None:
    papa = method(digits, **variant)
    session(papa)
    assert not torch.equal(parameters(papa.network), parameters(papa.base))
    assert torch.equal(parameters(papa.base), parameters(digits.model.network()))


def test_preference_lowers_the_error_of_an_item_and_disliking_raises_it(digits: Digits) -> None:
    x0 = digits.part("C")[0][:4]
    query = Query(x0)

    def error_after(answer: float) -> float:
        papa = method(digits, updates=4, items=4, timesteps=8, lr=1e-3, c_qpde=0.0)
        papa.tell(query, Feedback(np.full(4, answer), np.full(4, answer)))
        truth = method(digits, timesteps=8)
        truth.network.load_state_dict(papa.network.state_dict())
        one = update(digits, np.ones(4), Stream(9))
        nets = Networks(truth.network, truth.base, truth.base)
        abar = digits.model.alphas_cumprod
        return papa_gradient(nets, abar, x0, truth.noise(one), truth.pairs(one), 256, Cost())[0]

    liked, neutral, disliked = (error_after(answer) for answer in (1.0, 0.5, 0.0))
    assert liked < neutral < disliked


def test_how_disliked_items_count(digits: Digits) -> None:
    feedback = np.array([1.0, -1.0])
    assert method(digits).pairs(update(digits, feedback)).ceiling == 2.0
    assert method(digits, margin=0.5).pairs(update(digits, feedback)).ceiling == 1.5
    published = method(digits, negatives="published").pairs(update(digits, feedback))
    assert published.ceiling is None and (published.preference[1] < 0).all()


def test_without_negatives_disliked_items_change_nothing(digits: Digits) -> None:
    papa = method(digits, negatives="none")
    session(papa, preference=lambda h: [0.0, 0.0, 0.0])
    assert papa.cost.backward == 0
    papa = method(digits, negatives="none")
    session(papa)
    assert papa.cost.backward > 0


def test_without_accumulation_a_round_of_no_answers_trains_on_nothing(digits: Digits) -> None:
    def trained(accumulate: bool) -> int:
        papa = method(digits, accumulate=accumulate)
        session(papa, rounds=2, preference=lambda h: [1.0, 0.0, 1.0] if h == 0 else [np.nan] * 3)
        return papa.cost.backward

    assert trained(True) == 2 * trained(False) > 0


def test_items_of_an_update_are_used_equally_often(digits: Digits) -> None:
    order = method(digits, updates=3, items=8)._item_order(5, Stream(0))
    counts = np.bincount(order.flatten(), minlength=5)
    assert order.shape == (3, 8) and counts.max() - counts.min() <= 1


def test_shared_noise_is_one_draw_per_item(digits: Digits) -> None:
    shared, own = (method(digits).noise(update(digits, np.ones(1)), shared=flag)(0) for flag in (True, False))
    assert torch.equal(shared[0], shared[1]) and not torch.equal(own[0], own[1])
