"""Pictures side by side."""

from __future__ import annotations

import numpy as np
import pytest

from papa.pictures import GAP, grid


def test_every_picture_is_in_its_place_whole() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 40), dtype=np.uint8)
    whole = np.asarray(grid(images, columns=2))
    assert whole.shape == (3 * 64 + 2 * GAP, 2 * 80 + GAP, 3)
    for i in range(5):
        y, x = (i // 2) * (64 + GAP), (i % 2) * (80 + GAP)
        np.testing.assert_array_equal(whole[y : y + 64 : 2, x : x + 80 : 2], images[i].transpose(1, 2, 0))
    assert (whole[2 * (64 + GAP) :, 80 + GAP :] == 255).all(), "the place that is left over"


def test_grey_pictures_and_large_ones() -> None:
    assert grid(np.zeros((4, 1, 128, 128), dtype=np.uint8)).size == (2 * 128 + GAP, 2 * 128 + GAP)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 2), np.uint8),
        np.zeros((2, 4, 8, 8), np.uint8),
        np.zeros((2, 3, 8, 8)),
        np.zeros((0, 3, 8, 8), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        grid(images)
