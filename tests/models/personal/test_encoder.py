"""User encoders that look at one image after the other: pooling by hand, order, shrinkage, nobody."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from papa.models.personal.encoder import SHRINK, USER_FLAG, Choices, PixelEncoder, some_of, standardization
from papa.rng import Stream

D = 6 * PixelEncoder.GRID**2


def images(n: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(Stream(seed).uniform(n, 3, 12, 12)).float() * 2 - 1


@pytest.fixture(scope="module")
def encoder() -> PixelEncoder:
    raw = PixelEncoder(torch.zeros(D), torch.ones(D))
    return PixelEncoder(*standardization(raw.features(images(64, 9))))


def test_by_hand(encoder: PixelEncoder) -> None:
    preferred, rejected = images(3), images(3, 1)
    tokens = encoder.encode(Choices(preferred, rejected))
    a, b = encoder.standardized(preferred), encoder.standardized(rejected)
    expected = torch.cat([a.sum(0), b.sum(0), (a - b).sum(0)]) / (3 + SHRINK)
    assert tokens.shape == (encoder.tokens, encoder.width) == (2, 3 * D)
    torch.testing.assert_close(tokens[1], expected)
    assert (tokens[0] == USER_FLAG).all()


@given(st.permutations(range(5)))
def test_the_order_does_not_matter(order: list[int]) -> None:
    encoder = PixelEncoder(torch.zeros(D), torch.ones(D))
    given_ = Choices(images(5), images(5, 1))
    turned = some_of(given_, np.array(order))
    torch.testing.assert_close(encoder.encode(turned), encoder.encode(given_), atol=1e-5, rtol=1e-5)


def test_nobody_is_somebody_of_whom_nothing_is_known(encoder: PixelEncoder) -> None:
    tokens = encoder.encode(Choices(images(0), images(0)))
    assert (tokens[0] == USER_FLAG).all() and not tokens[1].any()


def test_more_of_the_same_choice_makes_a_larger_difference_up_to_a_bound(encoder: PixelEncoder) -> None:
    one = Choices(images(1), images(1, 1))
    sizes = []
    for n in (1, 4, 64):
        many = Choices(one.preferred.expand(n, -1, -1, -1), one.rejected.expand(n, -1, -1, -1))
        sizes.append(float(encoder.encode(many)[1].norm()))
    whole = float(torch.cat([encoder.standardized(x)[0] for x in (one.preferred, one.rejected)]).norm())
    assert sizes[0] < sizes[1] < sizes[2] < 2 * whole
    assert sizes[0] / sizes[2] == pytest.approx((1 / (1 + SHRINK)) / (64 / (64 + SHRINK)), rel=1e-4)
