"""The renderer of fruits: shapes, colours and attributes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from papa.benchmark.tasks.fruits.render import (
    BACKGROUNDS,
    COLOURS,
    CONCEPTS,
    KINDS,
    SIZE,
    Attributes,
    draw_attributes,
    ellipse,
    pictures,
    render,
    segment,
    union,
)

seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_distances_are_negative_inside_and_grow_outside(seed: int) -> None:
    u, v = np.random.default_rng(seed).normal(0, 1, (2, 50))
    far = np.hypot(u, v)
    np.testing.assert_allclose(ellipse(u, v, 0.7, 0.7), far - 0.7, atol=1e-12)
    np.testing.assert_allclose(segment(u, v, (0, 0), (1e-9, 0)), far, atol=1e-6)
    a, b = ellipse(u, v, 0.5, 0.9), ellipse(u - 1, v, 0.4, 0.4)
    np.testing.assert_allclose(union(a, b), np.minimum(a, b), atol=1e-12)
    assert (union(a, b, smooth=0.2) <= np.minimum(a, b) + 1e-12).all()


@pytest.mark.parametrize("concept", CONCEPTS)
def test_a_picture_shows_its_colour_where_its_fruit_is(concept: tuple[str, str, int]) -> None:
    kind, colour, count = concept
    what = Attributes(kind, colour, count, "gray", None if count == 2 else "large")
    image = render(what, np.random.default_rng(3))
    assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
    # The pixels nearest to the fruit's colour are many, and those nearest to another fruit colour fewer.
    palette = np.array([*COLOURS.values(), BACKGROUNDS["gray"]], dtype=float)
    hue = palette / np.linalg.norm(palette, axis=1, keepdims=True)
    unit = image.reshape(-1, 3) / np.linalg.norm(image.reshape(-1, 3), axis=1, keepdims=True).clip(1)
    counts = np.bincount((unit @ hue.T).argmax(1), minlength=len(palette))
    assert counts[:-1].argmax() == list(COLOURS).index(colour) and counts[:-1].max() > 40


def test_pictures_are_the_same_for_the_same_numbers_and_differ_otherwise() -> None:
    (a, shown), (b, again) = pictures(8, np.random.default_rng(1)), pictures(8, np.random.default_rng(1))
    np.testing.assert_array_equal(a, b)
    assert shown == again and [what.kind for what in shown] == list(KINDS)
    assert len({image.tobytes() for image in a}) == 8
    other, _ = pictures(8, np.random.default_rng(2))
    assert not np.array_equal(a, other)


def test_every_attribute_comes_up() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_attributes(rng) for _ in range(2000)]
    assert {what.concept for what in drawn} == set(range(len(CONCEPTS)))
    assert {what.background for what in drawn} == set(BACKGROUNDS)
    assert 0.25 < np.mean([what.count == 2 for what in drawn]) < 0.35
    assert all((what.size is None) == (what.count == 2) for what in drawn)
