"""Where PAPA's loss is least: the model conditioned on being liked, and what unbalanced labels make of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from support.small_papa import method, update

from papa.benchmark.tasks.digits.task import Digits
from papa.feedback import Feedback
from papa.methods.papa import Papa, PapaSettings, Shares, rule_of_succession

EPS_L, EPS_D = 2.0, -1.0
"""Mean noise of liked and of disliked items at some x_t; any other two are a shift and a scale away."""


class Weighted:
    """PAPA's weights of items, without a network."""

    def __init__(self, balance: str, labelled: float, base: float) -> None:
        self.settings, self.shares = PapaSettings(balance=balance), Shares(labelled, base)

    weights = Papa._item_weights


def optimum(balance: str, p_h: float, p_0: float, density: tuple[float, float]) -> float:
    """The prediction of least loss at x_t with c_qpde = c_pref, as a weight on eps_L: 1 is the conditioned model.

    The training set has p_h liked items. density: of the noised liked and disliked items at x_t.
    """
    liked, disliked = density
    r, anchor = Weighted(balance, p_h, p_0).weights(np.array([1.0, 0.0]))
    here = np.array([p_h * liked, (1 - p_h) * disliked])
    base = (p_0 * liked * EPS_L + (1 - p_0) * disliked * EPS_D) / (p_0 * liked + (1 - p_0) * disliked)
    f = (here * (r * np.array([EPS_L, EPS_D]) + anchor * base)).sum() / (here * (r + anchor)).sum()
    return (f - EPS_D) / (EPS_L - EPS_D)


shares = st.floats(0.125, 0.875)
densities = st.tuples(st.floats(0.01, 10), st.floats(0.01, 10))


@given(shares, densities)
def test_on_labels_of_base_samples_the_optimum_is_the_conditioned_model(p: float, density: tuple[float, float]) -> None:
    assert optimum("none", p, p, density) == pytest.approx(1)


@given(shares, shares, densities)
def test_balanced_it_is_that_on_any_labels(p_h: float, p_0: float, density: tuple[float, float]) -> None:
    assert optimum("equal", p_h, p_0, density) == pytest.approx(1)


@given(shares, shares, densities)
def test_unbalanced_it_falls_short_by_what_the_derivation_says(
    p_h: float, p_0: float, density: tuple[float, float]
) -> None:
    liked, disliked = density
    ratio = (p_h * liked + (1 - p_h) * disliked) / (p_0 * liked + (1 - p_0) * disliked)
    assert optimum("none", p_h, p_0, density) == pytest.approx((1 + p_0 / p_h * ratio) / 2)
    assert optimum("none", p_h, p_0, (1, 1)) == pytest.approx((1 + p_0 / p_h) / 2), "at pure noise"


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=9), shares)
@settings(max_examples=50)
def test_one_sided_labels_have_finite_weights(preference: list[float], p_0: float) -> None:
    values = np.array(preference)
    r, anchor = Weighted("equal", float(values.mean()), p_0).weights(values)
    assert np.isfinite(r).all() and np.isfinite(anchor).all() and (anchor >= 0).all()
    assert np.abs(r).max() <= 4, "no answer counts for more than an eighth of the items would"


def test_balance_without_dislikes_is_refused() -> None:
    with pytest.raises(ValidationError, match="leaves those out"):
        PapaSettings(balance="equal", negatives="none")


def test_the_rule_of_succession() -> None:
    cases = {0.1: np.zeros(8), 0.9: np.ones(8), 2 / 3: np.array([1.0, np.nan, np.nan]), 0.5: np.full(3, np.nan)}
    assert all(rule_of_succession(answers) == pytest.approx(share) for share, answers in cases.items())


def told(papa: Papa, *rounds: list[float]) -> Papa:
    for preference in rounds:
        answers = np.array(preference)
        papa.tell(papa.ask(len(preference)), Feedback(answers, answers))
    return papa


def test_the_bases_share_is_that_of_the_first_round_or_of_all_where_all_are_the_bases(digits: Digits) -> None:
    rounds = [1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0, np.nan]
    own = told(method(digits, balance="equal"), *rounds)
    assert own.shares == Shares(labelled=6 / 8, base=2 / 5)
    passive = told(method(digits, balance="equal", queries="base"), *rounds)
    assert passive.shares == Shares(labelled=6 / 8, base=7 / 10)
    latest = told(method(digits, balance="equal", accumulate=False), *rounds)
    assert latest.shares == Shares(labelled=1.0, base=2 / 5), "of what it learns from"


def test_a_passive_session_shows_the_bases_samples(digits: Digits) -> None:
    passive, active, untold = method(digits, queries="base", lr=0.1), method(digits, lr=0.1), method(digits)
    told(passive, [1.0, 0.0]), told(active, [1.0, 0.0])
    untold.round = 1  # what an untrained network draws in the second round
    # To the last bits only: an adapter that adds zeros takes other kernels than none on some processors.
    assert torch.allclose(passive.ask(3).latents, untold.ask(3).latents, atol=1e-4)
    assert not torch.allclose(active.ask(3).latents, passive.ask(3).latents, atol=1e-2)
    assert not torch.allclose(passive.sample(3), untold.sample(3), atol=1e-2), "it learns all the same"


def test_the_weights_of_an_update_follow_the_balance(digits: Digits) -> None:
    """Half of the preference term's weight on likes, half on dislikes, whatever the labels were."""
    papa = told(method(digits, balance="equal"), [1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0])
    pairs = papa.pairs(update(digits, [1, 1, 1, 1, 1, -1, -1, -1]))
    preference, near = (weights.sum(1).double().numpy() for weights in (pairs.preference, pairs.anchor))
    assert preference[:5].sum() == pytest.approx(-preference[5:].sum(), rel=1e-5)
    p_0 = 2 / 6
    c = papa.settings.c_qpde / 2 / (1 - p_0)
    assert near[:5].sum() == pytest.approx(c * p_0, rel=1e-5)
    assert near[5:].sum() == pytest.approx(c * (1 - p_0), rel=1e-5)
