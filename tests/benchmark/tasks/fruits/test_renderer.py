"""The renderer of fruits: shapes, colours and attributes."""

from __future__ import annotations

import numpy as np
import pytest

from papa.benchmark.tasks.fruits.render import (
    BACKGROUNDS,
    COLOURS,
    CONCEPTS,
    KINDS,
    SIZE,
    Attributes,
    pictures,
    render,
)


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
