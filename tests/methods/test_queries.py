"""What is shown next, chosen from a pool of base samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support import tiny

from papa.benchmark.tasks.digits.task import Digits
from papa.diffusion.denoiser import Cost
from papa.errors import SettingsError
from papa.feedback import Feedback
from papa.methods import declaration
from papa.methods._laplace import _fitted
from papa.methods._queries import Pool, greedy, k_center, straddle, thompson, ucb
from papa.methods._surrogate import SurrogateSettings
from papa.methods.distill import with_likes
from papa.rng import Stream

NAN = float("nan")
QUERIES = ["random", "greedy", "ucb", "thompson", "straddle", "diverse"]


def rng(seed: int = 0) -> np.random.Generator:
    return Stream(seed).generator()


def test_greedy_and_the_upper_bound() -> None:
    mean, covariance = np.array([0.0, 1.0, 0.9, -5.0]), np.diag([4.0, 0.01, 0.25, 1.0])
    assert greedy(mean, covariance, 2, rng()).tolist() == [1, 2]
    assert ucb(mean, covariance, 3, rng()).tolist() == [0, 2, 1]  # 2, 1.4, 1.1


def test_straddle_looks_for_the_boundary_and_counts_what_it_chose_as_seen() -> None:
    assert straddle(np.array([0.0, 0.1, 3.0]), np.diag([1.0, 0.9, 1.0]), 2, rng()).tolist() == [0, 1]
    # Of two nearly equal items with much to tell, the second tells little once the first is chosen.
    wide = np.diag([50.0, 50.0, 30.0])
    wide[0, 1] = wide[1, 0] = 49.9
    assert straddle(np.zeros(3), wide, 2, rng()).tolist() == [0, 2]


def test_thompson_draws_by_the_posterior() -> None:
    mean, covariance = np.array([0.0, 0.0, -8.0]), np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1e-6]])
    first = [thompson(mean, covariance, 1, rng(seed))[0] for seed in range(400)]
    assert set(first) == {0, 1} and 150 < first.count(0) < 250
    assert sorted(thompson(mean, covariance, 3, rng())) == [0, 1, 2]  # nobody twice


def test_k_center_takes_the_farthest() -> None:
    x = torch.tensor([[0.0], [1.0], [10.0], [4.9], [5.2]])
    assert k_center(x, np.array([1, 2, 3, 4]), 2, rng()).tolist() == [2, 3]  # row 0 was shown: 10 is far, then 4.9
    assert len(k_center(x, np.arange(5), 9, rng())) == 5


def test_the_joint_posterior_has_the_means_and_variances_of_each() -> None:
    phi = torch.from_numpy(Stream(0).normal(12, 5, dtype=np.float64))
    found = _fitted(phi, (phi[:, 0] > 0).double(), 1.0)
    new = torch.from_numpy(Stream(1).normal(6, 5, dtype=np.float64))
    mean, covariance = found.joint(new)
    alone = found.at(new)
    torch.testing.assert_close(mean, alone[0])
    torch.testing.assert_close(covariance.diagonal(), alone[1])
    assert torch.linalg.eigvalsh(covariance).min() > -1e-9


def method(digits: Digits, name: str, **surrogate: Any) -> Any:
    given = {"pool": 24, "reference": 16, "epochs": 2, "channels": 4} | surrogate
    settings = tiny.small(declaration(name).settings, surrogate=given)
    base = torch.from_numpy(Stream(9).normal(64, *digits.model.shape))
    return declaration(name).method(settings, digits.model, Stream(0), lambda n: base[:n])


@pytest.mark.parametrize("name", ["best_of_n", "fkc"])
@pytest.mark.parametrize("query", QUERIES)
def test_every_query_shows_items_of_the_pool_and_none_twice(digits: Digits, name: str, query: str) -> None:
    of = method(digits, name, kind="features", query=query)
    shown = []
    for answers in ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, np.nan]):
        asked = of.ask(3)
        assert torch.equal(asked.latents, of.ask(3).latents)  # asking changes nothing
        shown.append(asked.latents)
        of.tell(asked, Feedback(np.array(answers), np.array(answers)))
    items = torch.cat(shown)
    assert len(items.unique(dim=0)) == 9
    pool = of.surrogate.pool.latents
    assert all(any(torch.equal(item, one) for one in pool) for item in items)
    served = of.sample(4)
    assert not any(torch.equal(one, item) for one in served for item in pool)


def test_the_pool_is_counted_once(digits: Digits) -> None:
    of = method(digits, "best_of_n", query="random")
    of.ask(2)
    of.ask(2)
    assert of.cost == Cost(forward=24 * 3)


def test_a_pool_that_is_too_small_is_refused(digits: Digits) -> None:
    with pytest.raises(SettingsError, match="fewer than the 5 labels"):
        method(digits, "best_of_n", query="diverse", pool=4)


@pytest.mark.parametrize("query", ["ucb", "thompson", "straddle"])
def test_a_surrogate_without_a_variance_refuses(query: Any) -> None:
    for kind in ("conv", "kernel"):
        with pytest.raises(ValidationError, match="set kind: features"):
            SurrogateSettings.model_validate({"kind": kind, "query": query})
    SurrogateSettings(kind="features", query=query)


@pytest.mark.parametrize("name", ["reward_model", "seiko"])
def test_methods_that_show_their_own_refuse(name: str) -> None:
    with pytest.raises(ValidationError, match="query"):
        declaration(name).settings(surrogate={"query": "random"})


def test_greedy_with_the_network_shows_what_it_scores_highest(digits: Digits) -> None:
    of = method(digits, "best_of_n", query="greedy")
    first = of.ask(2)
    of.tell(first, Feedback(np.array([1.0, 0.0]), np.array([1.0, 0.0])))
    with torch.no_grad():
        scores = of.surrogate(of.surrogate.pool.latents)
    pool: Pool = of.surrogate.pool
    free = pool._free(of.surrogate.seen)
    best = free[np.argsort(-scores.numpy()[free], kind="stable")][:2]
    assert torch.equal(of.ask(2).latents, pool.latents[torch.from_numpy(best)])


@pytest.mark.parametrize("query", ["greedy", "ucb", "thompson", "straddle"])
def test_while_all_answers_are_alike_the_farthest_are_shown(digits: Digits, query: str) -> None:
    for first, second, expected in (
        (0.0, 0.0, "diverse"),
        (1.0, 1.0, "diverse"),
        (1.0, 0.0, query),
        (0.0, NAN, "diverse"),
    ):
        of = method(digits, "best_of_n", kind="features", query=query)
        assert of.surrogate.pool.query_after(of.surrogate.seen) == "random"
        of.tell(of.ask(2), Feedback(np.array([first, second]), np.array([first, second])))
        assert of.surrogate.pool.query_after(of.surrogate.seen) == expected
        if expected == "diverse":
            pool = of.surrogate.pool
            farthest = k_center(pool.features(of.surrogate.model), pool._free(of.surrogate.seen), 2, rng())
            assert torch.equal(of.ask(2).latents, pool.latents[torch.from_numpy(farthest)])


@pytest.mark.parametrize("loss", ["papa", "raft", "diffusion_nft"])
def test_distil_trains_once_on_guesses_and_asks_about_none_of_them(digits: Digits, loss: str) -> None:
    of = method(digits, "distill", kind="features", query="straddle")
    of.settings = of.settings.model_copy(update={"loss": loss})
    base = torch.from_numpy(Stream(9).normal(64, *digits.model.shape))
    for answers in ([1.0, 0.0], [0.0, 1.0], [1.0]):  # five labels, two a round
        assert of.trained is None and torch.equal(of.sample(2), base[:2])
        asked = of.ask(len(answers))
        of.tell(asked, Feedback(np.array(answers), np.array(answers)))
    assert of.trained is not None
    guessed = of.trained.seen.latents
    assert len(guessed) == of.settings.guesses == 12
    assert not any(torch.equal(one, item) for one in guessed for item in of.surrogate.seen.latents)
    with torch.no_grad():
        np.testing.assert_allclose(of.trained.seen.preference, of.surrogate(guessed), rtol=1e-6)
    samples = of.sample(3)
    assert samples.isfinite().all() and not torch.equal(samples, base[:3])
    assert of.aligned() is of.trained.network and 0 < of.diagnostics()["guessed_likes"] < 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(0, 40))
def test_the_most_probable_guesses_count_as_likes_where_too_few_are_above_one_half(rated: list[float], n: int) -> None:
    guessed, least = np.array(rated), min(n, len(rated))
    preference = with_likes(guessed, least)
    assert (preference > 0.5).sum() == max(least, (guessed > 0.5).sum())
    changed = preference != guessed
    assert (preference[changed] == 1).all()
    if changed.any():  # nobody who was passed over was rated higher
        assert guessed[changed].min() >= guessed[~changed & (guessed < 1)].max(initial=0)


def test_a_surrogate_that_has_seen_one_like_distils_the_most_probable(digits: Digits) -> None:
    for first, least_likes, liked in ((1.0, 0.1, 10), (1.0, 0.0, 0), (0.0, 0.1, 0)):
        of = method(digits, "distill", kind="features", query="straddle")
        of.settings = of.settings.model_copy(update={"least_likes": least_likes, "guesses": 100})
        for answers in ([first, 0.0], [0.0, 0.0], [0.0]):
            of.tell(of.ask(len(answers)), Feedback(np.array(answers), np.array(answers)))
        assert of.trained is not None and (of.trained.seen.preference > 0.5).sum() == liked
