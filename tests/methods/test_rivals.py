"""The losses of the methods that PAPA and FKC are compared with: gradients, hand-computed cases, limits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from support import tiny
from support.toy import Toy, slope
from torch import Tensor

from papa.errors import AnswerError
from papa.feedback import Feedback, Query
from papa.methods import declaration
from papa.methods._finetune import FineTuned, Update
from papa.methods.fkc import Fkc
from papa.methods.losses import d3po_loss, dpo_loss, kto_loss, matched, nft_loss, ppo_loss, preference_margin
from papa.rng import Stream
from papa.smc.fkc import evaluate, exact_step

ANSWERS = np.array([1.0, 0.0, 1.0, 0.0, 0.0, 1.0])
LEARNERS = ["raft", "rwr", "diffusion_dpo", "diffusion_kto", "diffusion_nft", "d3po", "ddpo", "seiko"]


def method(name: str, **given: Any) -> Any:
    settings = tiny.small(declaration(name).settings, labels=12, per_round=6, **given)
    return declaration(name).method(settings, Toy(), Stream(0), lambda n: torch.zeros(n, 2, dtype=torch.float64))


def moved(of: FineTuned, seed: int = 1, size: float = 0.05) -> None:
    """Move the network away from the base, where many gradients are zero."""
    rng = Stream(seed).at("moved").generator()
    with torch.no_grad():
        for weight in of.trained.values():
            weight.add_(torch.from_numpy(size * rng.standard_normal(tuple(weight.shape))))


def answered(of: Any, answers: np.ndarray = ANSWERS) -> Query:
    query = of.ask(len(answers))
    of.tell(query, Feedback(answers, answers))
    return query


def update_of(name: str, of: Any, query: Query) -> Update:
    """An update over what was answered, as the method makes it."""
    liked, disliked = np.flatnonzero(ANSWERS > 0.5), np.flatnonzero(ANSWERS <= 0.5)
    pairs, stream = np.stack([liked, disliked], 1), Stream(5)
    x0 = {
        "diffusion_dpo": query.latents[torch.from_numpy(pairs)],
        "d3po": torch.from_numpy(pairs),
        "ddpo": torch.arange(len(ANSWERS)),
        "seiko": torch.arange(4),
    }.get(name, query.latents)
    return Update(x0, ANSWERS[: len(x0)], stream)


GIVEN: dict[str, dict[str, Any]] = {"ddpo": {"clip": 0.9, "kl": 0.3}, "d3po": {"clip": 0.9}, "seiko": {"kl": 0.1}}
WHOLE = {"seiko": {"through": Toy.steps}}
"""Differences see the whole sampler, and DRaFT-K's gradient its last steps alone."""


@pytest.mark.parametrize("name", LEARNERS)
def test_gradients_agree_with_differences(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    of = method(name, updates=2, lr=1e-3, **GIVEN.get(name, {}), **WHOLE.get(name, {}))
    query = answered(of)
    moved(of)
    if name == "diffusion_kto":  # the reference point has no gradient
        monkeypatch.setattr(type(of), "_point", lambda *_: 0.05)
    if name == "seiko":  # reward models have kinks, and compute in float32
        monkeypatch.setattr(of, "optimistic", lambda x: torch.tanh(x / 5).sum(1))
    update = update_of(name, of, query)
    weights = list(of.trained.values())
    of.optimizer.zero_grad()
    assert math.isfinite(sum(of.gradient(update)))
    gradients = [weight.grad.clone() for weight in weights]
    rng = Stream(2).generator()
    direction = [torch.from_numpy(rng.standard_normal(tuple(weight.shape))) for weight in weights]
    found = sum(float((one * other).sum()) for one, other in zip(gradients, direction, strict=True))
    wanted = slope(lambda: sum(of.gradient(update)), weights, direction)
    assert found == pytest.approx(wanted, rel=1e-3, abs=1e-7) and abs(wanted) > 1e-4


@pytest.mark.parametrize("name", LEARNERS)
def test_chunks_change_the_rounding_alone(name: str) -> None:
    gradients = []
    for chunk in (256, 3):
        of = method(name, updates=1, chunk=chunk, **GIVEN.get(name, {}))
        query = answered(of)
        moved(of)
        of.optimizer.zero_grad()
        of.gradient(update_of(name, of, query))
        gradients.append(torch.cat([weight.grad.flatten() for weight in of.trained.values()]))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", LEARNERS)
def test_learning_moves_the_network_and_not_the_base(name: str) -> None:
    of = method(name)
    before = {key: weight.clone() for key, weight in of.base.state_dict().items()}
    answered(of)
    assert any(not torch.equal(weight, before[key]) for key, weight in of.network.state_dict().items())
    assert all(torch.equal(weight, before[key]) for key, weight in of.base.state_dict().items())


def test_raft_learns_from_liked_items_alone_and_from_nothing_where_nothing_is_liked() -> None:
    weights = []
    for noise in (0.0, 3.0):  # what is disliked may be anything
        of = method("raft")
        query = of.ask(6)
        other = query.latents + noise * torch.from_numpy(1 - ANSWERS)[:, None]
        of.tell(Query(other, None), Feedback(ANSWERS, ANSWERS))
        weights.append(of.network.state_dict())
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    of = method("raft")
    answered(of, np.zeros(6))
    assert all(torch.equal(of.network.state_dict()[key], weight) for key, weight in of.base.state_dict().items())


def test_the_weights_of_regression_are_a_softmax() -> None:
    of = method("rwr", temperature=0.7, items=6, updates=1)
    found = []
    of.denoising_gradient = lambda update, weights: found.append((update.preference, weights)) or 0.0
    graded = np.array([1.0, 0.3, np.nan, 0.6, 0.0, 0.9])
    answered(of, graded)
    wanted = np.exp((2 * graded - 1) / 0.7)
    wanted /= np.nansum(wanted)
    [(preference, weights)] = found
    for s, weight in zip(preference, weights, strict=True):  # five answers stand six times in an update of six
        assert weight == pytest.approx(5 / 6 * wanted[graded == s][0])


def test_pairs_use_the_larger_class_once_and_deal_out_the_other() -> None:
    preference = np.array([1.0, 0.0, 0.0, np.nan, 0.0, 1.0, 0.0, 0.0])
    liked, disliked = matched(preference, Stream(0))
    assert sorted(disliked) == [1, 2, 4, 6, 7] and np.bincount(liked, minlength=8)[[0, 5]].max() == 3
    assert all(len(of) == 0 for of in matched(np.ones(3), Stream(0)))


def test_dpo_is_log_2_at_the_base_and_swapping_a_pair_turns_the_gradient_round() -> None:
    of = method("diffusion_dpo", lr=1e-3)
    x0 = torch.from_numpy(Stream(3).normal(3, 2, 2, dtype=np.float64))
    gradients = []
    for pairs in (x0, x0.flip(1)):
        of.optimizer.zero_grad()
        assert of.gradient(Update(pairs, np.ones(3), Stream(5)))[0] == pytest.approx(math.log(2))
        gradients.append(torch.cat([weight.grad.flatten() for weight in of.trained.values()]))
    torch.testing.assert_close(gradients[0], -gradients[1])
    assert gradients[0].norm() > 1e-3


def test_dpo_by_hand() -> None:
    model = torch.tensor([[0.10, 0.30], [0.50, 0.20]])  # preferred above, rejected below
    reference = torch.tensor([[0.20, 0.10], [0.40, 0.30]])
    # First pair: m+ = -0.1, m- = 0.1; -log sigma(-2 (-0.1 - 0.1)). Second: m+ = 0.2, m- = -0.1.
    expected = [math.log(1 + math.exp(-0.4)), math.log(1 + math.exp(0.6))]
    assert dpo_loss(model, reference, 2.0).tolist() == pytest.approx(expected, rel=1e-5)
    assert preference_margin(model, reference).tolist() == pytest.approx([0.2, -0.3])


def test_d3po_by_hand() -> None:
    log_ratios = torch.tensor([[0.05, 0.3], [-0.02, -0.4]])
    first = math.log(1 + math.exp(-0.1 * 0.07))
    second = math.log(1 + math.exp(-0.1 * (math.log(1.1) - math.log(0.9))))  # both are clipped
    assert d3po_loss(log_ratios, 0.1, 0.1).tolist() == pytest.approx([first, second], rel=1e-5)
    assert d3po_loss(torch.zeros(2, 3), 5.0, 0.1).tolist() == pytest.approx([math.log(2)] * 3)


def test_kto_by_hand() -> None:
    gain, preference = torch.tensor([0.4, -0.2, 0.4]), torch.tensor([1.0, 0.0, 0.25])

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    wanted = [1 - sigmoid(0.3), 1 - sigmoid(0.3), 0.25 * (1 - sigmoid(0.3)) + 0.75 * sigmoid(0.3)]
    assert kto_loss(gain, 0.1, preference).tolist() == pytest.approx(wanted, rel=1e-5)


def test_the_reference_point_of_kto_is_the_mean_gain_and_never_below_0() -> None:
    of = method("diffusion_kto", lr=1e-3)
    query = answered(of)
    moved(of, size=0.3)
    update, points = update_of("diffusion_kto", of, query), []
    point = of._point
    of._point = lambda *given: points.append(point(*given)) or points[-1]
    before = of.cost.backward
    of.gradient(update)
    assert of.cost.backward - before == update.x0.shape[0] * of.strata  # the first pass takes no gradient
    of.network, of.base = of.base, of.network  # every gain changes its sign
    of.gradient(update)
    assert min(points) == 0.0 < max(points)


def test_nft_by_hand() -> None:
    predicted, old, noise = (torch.tensor([[value, 0.0]]) for value in (0.5, 0.2, 1.0))
    # b = 0.5: eps+ = 0.35, eps- = 0.05; the mean over two entries halves the squares.
    plus, minus = 0.65**2 / 2, 0.95**2 / 2
    for s in (1.0, 0.0, 0.3):
        found = nft_loss(predicted, old, noise, torch.tensor([s]), 0.5).item()
        assert found == pytest.approx(s * plus + (1 - s) * minus)


def test_nft_where_everything_is_liked_is_plain_fine_tuning() -> None:
    nft, raft = method("diffusion_nft"), method("raft")
    for _ in range(2):
        torch.testing.assert_close(answered(nft, np.ones(6)).latents, answered(raft, np.ones(6)).latents)
    for key, weight in raft.network.state_dict().items():
        torch.testing.assert_close(nft.network.state_dict()[key], weight, rtol=1e-6, atol=1e-9)


def test_the_older_model_of_nft_is_a_slow_average() -> None:
    of = method("diffusion_nft", ema_decay=0.75)
    start = {key: weight.clone() for key, weight in of.network.state_dict().items()}
    answered(of)
    for key, weight in of.old.state_dict().items():
        torch.testing.assert_close(weight, 0.75 * start[key] + 0.25 * of.network.state_dict()[key])


def test_the_clipped_loss_by_hand() -> None:
    ratio, advantage = torch.tensor([1.5, 1.5, 0.5, 0.5]), torch.tensor([1.0, -1.0, 1.0, -1.0])
    assert ppo_loss(ratio, advantage, 0.2).tolist() == pytest.approx([-1.2, 1.5, -0.5, 0.8])


def test_the_ratio_is_1_at_the_start_and_equal_answers_change_nothing() -> None:
    of = method("ddpo", lr=1e-3)
    query = of.ask(6)
    of._round, of._mean, of._deviation = of.shown(query), 0.5, 0.5
    update = Update(torch.arange(6), np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0]), Stream(0))
    assert of.gradient(update) == pytest.approx((-(4 - 2) / 6, 0.0), abs=1e-9)
    of = method("ddpo")
    answered(of, np.ones(6))
    assert all(torch.equal(of.network.state_dict()[key], weight) for key, weight in of.base.state_dict().items())


@pytest.mark.parametrize("name", ["ddpo", "d3po"])
def test_trajectories_are_drawn_again_with_the_same_bits_and_other_items_are_refused(name: str) -> None:
    of = method(name)
    query = of.ask(6)
    drawn = of.shown(query)
    of._latest = None
    assert torch.equal(of.shown(query).states, drawn.states)
    with pytest.raises(AnswerError, match="own samples"):
        of.tell(Query(query.latents + 0.1, None), Feedback(ANSWERS, ANSWERS))


def test_the_bonus_is_the_standard_deviation_of_the_reward_models() -> None:
    of = method("seiko", ensemble=3, bonus=2.0)
    answered(of)
    x = torch.from_numpy(Stream(4).normal(5, 2, dtype=np.float64))
    scores = torch.stack([surrogate(x) for surrogate in of.surrogates]).detach().numpy()
    assert scores.std(0).min() > 0
    np.testing.assert_allclose(of.optimistic(x).detach(), scores.mean(0) + 2 * scores.std(0), rtol=1e-5)


def test_more_steps_of_the_gradient_change_it_and_without_any_pull_there_is_no_divergence() -> None:
    found = {}
    for through in (1, 3):
        of = method("seiko", through=through, kl=0.0)
        query = answered(of)
        assert query.latents.shape == (6, 2)
        of.optimizer.zero_grad()
        terms = of.gradient(Update(torch.arange(4), np.ones(4), Stream(1)))
        assert terms[1] == 0.0
        found[through] = torch.cat([weight.grad.flatten() for weight in of.trained.values()])
    assert not torch.allclose(found[1], found[3])


@pytest.mark.parametrize("gradient", ["leaf", "through"])
def test_reward_guidance_is_the_proposal_of_fkc_without_weights(gradient: Any) -> None:
    of = method("reward_guidance", gradient=gradient, guidance="full", beta_max=3.0)
    answered(of)
    found = of.sample(5)

    fkc = method("fkc", gradient=gradient, guidance="full", particles=5)
    noise = of.latent_noise(of.stream.at("sample"), 5)
    sigmas = of._sigmas.tolist()
    betas = np.linspace(0, 3.0, len(sigmas))
    assert isinstance(fkc, Fkc)
    y: Tensor = sigmas[0] * noise(0)
    for i in range(len(sigmas) - 1):
        point = evaluate(of.model.denoiser(of.cost), of.preference, y, sigmas[i], fkc.settings)
        y, _ = exact_step(point, noise(i + 1), (sigmas[i], sigmas[i + 1]), betas[i + 1], 1.0)
    torch.testing.assert_close(found, y, rtol=0, atol=1e-12)
