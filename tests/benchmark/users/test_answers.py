"""How users answer: form and noise of the answers, tastes that change, and users as a configuration describes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import tiny
from support.tiny import assert_paragraph
from support.users_of import user_of
from torch import Tensor

from papa.benchmark import users as registry
from papa.benchmark.runs.key import artefact_hashes
from papa.benchmark.tasks.digits.task import Digits
from papa.benchmark.tasks.fruits.task import HASTY
from papa.benchmark.users.interface import AnswerModel, NoisyUser, Taste, User
from papa.errors import SettingsError
from papa.feedback import Feedback, Kind
from papa.rng import Stream

ROUNDS, K = 250, 8


class Rated(User):
    """The one number of an item is its preference; likes above 1/2. Pairs: the first item is preferred."""

    def __init__(self) -> None:
        super().__init__(Taste())

    def calibrate(self, task: Any) -> None:
        self.classes = (3, 4)

    def preference(self, images: Tensor) -> Tensor:
        return images[:, 0]

    def verdict(self, images: Tensor) -> np.ndarray:
        return (images[:, 0] > 0.5).double().numpy()

    def answer(self, images: Tensor, kind: Kind, stream: Stream, progress: float = 0.0) -> Feedback:
        if kind != "pairs":
            return super().answer(images, kind, stream)
        return Feedback(self.verdict(images), np.ones(len(images)), np.arange(len(images)).reshape(-1, 2))


def noisy(**noise: Any) -> NoisyUser:
    return NoisyUser(Rated(), AnswerModel(**noise))


def answers(seed: int = 0, images: Tensor | None = None, **noise: Any) -> np.ndarray:
    """(ROUNDS, k) answers to items that are liked."""
    items, stream = torch.ones(K, 1) if images is None else images, Stream(seed).at("noise")
    user = noisy(**noise)
    return np.stack([user.answer(items, "binary", stream.at(round=h)).preference for h in range(ROUNDS)])


# ---------------------------------------------------------------- noise


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 1.0])
def test_answers_are_flipped_and_missing_at_the_rates_asked_for(p: float) -> None:
    flipped, missing = answers(flip=p) == 0.0, np.isnan(answers(missing=p))
    for found in (flipped, missing):
        assert abs(found.mean() - p) <= 4.5 * np.sqrt(p * (1 - p) / found.size)
        assert (found.sum(0) > 0).all() == (p > 0)  # at every place of a round
    both = answers(flip=p, missing=0.5)
    answered = both[~np.isnan(both)]  # flipped and missing are independent
    assert abs((answered == 0).mean() - p) <= 4.5 * np.sqrt(p * (1 - p) / answered.size)


def test_noise_depends_on_round_and_item_and_not_on_what_is_shown() -> None:
    """Two methods show different items and meet the same noise."""
    noise = {"flip": 0.4, "missing": 0.3}
    found = answers(**noise)
    other = answers(images=torch.zeros(K, 1), **noise)
    np.testing.assert_array_equal(found, 1 - other)
    np.testing.assert_array_equal(answers(images=torch.ones(3, 1), **noise), found[:, :3])
    assert not np.array_equal(found[0], found[1], equal_nan=True)
    assert not np.array_equal(found, answers(seed=1, **noise), equal_nan=True)


RATED = torch.tensor([[0.25], [0.125], [0.5], [0.5], [0.75], [1.0], [0.875]])


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("own", [0, 0, 0, 0, 1, 1, 1]),
        ("grades", [0.25, 0.125, 0.5, 0.5, 0.75, 1.0, 0.875]),
        ("pairs", [1, 0, 0.5, 0.5, 0, 1, np.nan]),  # the better one of two disliked items gets 1
    ],
)
def test_the_forms_of_answers(form: str, expected: list[float]) -> None:
    user = noisy(answers=form)
    user.calibrate(None)
    found = user.answer(RATED, "binary", Stream(0))
    np.testing.assert_array_equal(found.preference, expected)
    np.testing.assert_array_equal(found.probability, RATED[:, 0])
    flipped = noisy(answers=form, flip=1).answer(RATED, "binary", Stream(0)).preference
    np.testing.assert_array_equal(flipped, 1 - np.array(expected))
    np.testing.assert_array_equal(user.verdict(RATED), [0, 0, 0, 0, 1, 1, 1])  # measured by the taste itself
    assert user.classes == (3, 4)


def test_both_items_of_a_comparison_share_their_noise() -> None:
    images = torch.tensor([[1.0], [0.0]]).repeat(2000, 1)
    user = noisy(answers="pairs", flip=0.3, missing=0.2)
    of = user.answer(images, "binary", Stream(0)).preference.reshape(-1, 2)
    unanswered = np.isnan(of)
    assert (unanswered[:, 0] == unanswered[:, 1]).all() and abs(unanswered[:, 0].mean() - 0.2) < 0.05
    answered = of[~unanswered[:, 0]]
    assert (answered.sum(1) == 1).all() and abs((answered[:, 0] == 0).mean() - 0.3) < 0.05


def test_pairs_are_reversed_and_left_out() -> None:
    images = torch.ones(4000, 1)
    given = noisy(flip=0.3, missing=0.2).answer(images, "pairs", Stream(0))
    assert given.pairs is not None
    assert abs((given.pairs[:, 0] > given.pairs[:, 1]).mean() - 0.3) < 0.05
    answered = ~np.isnan(given.preference)
    assert sorted(given.pairs.flatten()) == [i for i in range(4000) if answered[i] and answered[i ^ 1]]


def test_moods_turn_the_answers_of_whole_rounds() -> None:
    images = (torch.arange(200) % 2).float()[:, None]
    truth = Rated().verdict(images)
    seen = {"none": 0, "bad": 0, "good": 0}
    for given in answers(images=images, moods=0.5):
        withheld, added = (given < truth)[truth == 1].mean(), (given > truth)[truth == 0].mean()
        assert min(withheld, added) == 0
        seen["bad" if withheld else "good" if added else "none"] += 1
        assert withheld == 0 or 0.3 < withheld < 0.7
        assert added == 0 or 0.1 < added < 0.45
    assert 90 < seen["none"] < 160 and min(seen["bad"], seen["good"]) > 30


# ---------------------------------------------------------------- tastes that change


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_a_taste_changes_half_way_and_is_measured_by_the_later_one(digits: Digits, flip: float) -> None:
    images = digits.part("C")[0][:100]
    user, *alone = (
        user_of("digits", label, a={"user": "likes-3", "then": "likes-068", "flip": flip})
        for label in ("a", "likes-3", "likes-068")
    )
    for one in (user, *alone):
        one.calibrate(digits)
    for progress, expected in ((0.0, alone[0]), (0.49, alone[0]), (0.5, alone[1]), (0.9, alone[1])):
        given = user.answer(images, "binary", Stream(0), progress).preference
        np.testing.assert_array_equal(given, abs(expected.verdict(images) - flip))
    np.testing.assert_array_equal(user.verdict(images), alone[1].verdict(images))
    assert user.classes == (0, 6, 8)


# ---------------------------------------------------------------- as configured


def grid(folder: Path, users: dict[str, Any], task: str = "digits") -> Any:
    block = {"task": task, "methods": ["base"], "users": list(users), "seeds": [0]}
    return tiny.grid(folder, block, users=users)


def test_users_of_a_configuration(tmp_path: Path, digits: Digits) -> None:
    users = {
        "likes-2": {"kind": "classes", "classes": [2]},
        "errs": {"user": "likes-2", "flip": 1.0},
        "errs-itself": {"kind": "classes", "classes": [2], "flip": 1.0},
        "changes": {"user": "likes-2", "then": "likes-068"},
    }
    specs, (images, labels) = list(grid(tmp_path, users)), digits.part("C")
    found = [registry.user_of(spec.who) for spec in specs]
    for user in found:
        user.calibrate(digits)
    given = [user.answer(images, "binary", Stream(0)).preference for user in found]
    assert (given[0] == (labels == 2)).mean() > 0.97
    np.testing.assert_array_equal(given[1], 1 - given[0])
    np.testing.assert_array_equal(given[2], given[1])
    assert specs[3].described["user"]["then"]["taste"] == {"classes": [0, 6, 8]}
    assert "then" not in specs[0].described["user"] and len({spec.key for spec in specs}) == len(specs)


def test_only_a_hasty_run_depends_on_the_hasty_judge(tmp_path: Path) -> None:
    block = {"task": "fruits", "methods": ["base"], "users": ["hasty-lemon", "banana"], "seeds": [0]}
    hasty, plain = tiny.grid(tmp_path, block)
    assert len(hasty.weights) == len(plain.weights) + len(artefact_hashes(HASTY)) > len(plain.weights)


@pytest.mark.parametrize(
    ("users", "words"),
    [
        ({"likes-3": {"flip": 1.0, "user": "likes-3"}}, ("users.likes-3", "another label")),
        ({"a": {"user": "b"}, "b": {"user": "a"}}, ("refers to itself",)),
        ({"a": {"kind": "clases", "classes": [1]}}, ("users.a", "did you mean 'classes'")),
        ({"a": {"kind": "concepts", "wanted": {"kind": "apple"}}}, ("needs concepts", "likes-1479")),
        ({"a": {"kind": "classes", "classes": [1], "user": "likes-3"}}, ("users.a", "either")),
        ({"a": {"user": "likes-3", "flip": 0.1}, "b": {"user": "a", "flip": 0.1}}, ("users.b", "already")),
        ({"a": {"user": "likes-3", "answers": "pairs", "moods": 0.5}}, ("users.a", "moods")),
        ({"a": {"user": "likes-4"}}, ("users.a", "did you mean")),
        ({"a": {"user": "likes-3", "filp": 0.2}}, ("users.a", "did you mean 'flip'")),
        ({"a": {"kind": "classes", "classes": [1], "then": "likes-3"}}, ("users.a", "'then'")),
    ],
)
def test_what_is_no_user_is_refused_with_its_place(
    tmp_path: Path, users: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(SettingsError) as raised:
        grid(tmp_path, users)
    assert_paragraph(str(raised.value), *words)
