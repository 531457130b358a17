"""Pictures side by side."""

from __future__ import annotations

import numpy as np
import pytest

from papa import Session
from papa.benchmark.tasks.digits.task import Digits
from papa.benchmark.tasks.gmm2d import Gmm2dSettings
from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.errors import SessionError
from papa.images import GAP, grid


def test_a_session_shows_its_question_and_then_its_result(digits: Digits) -> None:
    session = Session(digits.model, "best_of_n", labels=4, per_round=2)
    question = session.ask()
    shown = np.asarray(session.show())
    np.testing.assert_array_equal(shown, np.asarray(grid(digits.model.pack(question.images))))
    session.answer([True, False])
    assert session.show(9).size == (3 * 64 + 2 * GAP,) * 2
    np.testing.assert_array_equal(np.asarray(session.show(4)), np.asarray(grid(digits.model.pack(session.sample(4)))))


def test_points_are_no_pictures() -> None:
    with pytest.raises(SessionError, match="points"):
        Session(Gmm2d(Gmm2dSettings()).model, "fkc").show()


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
