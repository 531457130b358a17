"""The users on whom methods differ: conjunctions, a judge in haste, a taste that changes, moods, one thickness."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import tiny
from support.tiny import assert_paragraph
from support.users_of import user_of

from papa.benchmark.runs.key import artefact_hashes
from papa.benchmark.tasks.artefacts import verified_card
from papa.benchmark.tasks.digits.task import Digits
from papa.benchmark.tasks.fruits.render import BACKGROUNDS, Attributes, pictures
from papa.benchmark.tasks.fruits.task import HASTY, Fruits
from papa.benchmark.tasks.images import to_range
from papa.benchmark.users.interface import NoisyUser
from papa.errors import SettingsError
from papa.rng import Stream

LEMON = {"lemon": {"kind": "concepts", "wanted": {"kind": "lemon"}}}


@pytest.fixture(scope="module")
def shown() -> tuple[torch.Tensor, list[Attributes]]:
    """Renders that no judge was trained on, and what they show."""
    images, attributes = pictures(480, Stream(5).at("hard").generator())
    return to_range(images), attributes


def met(task: Any, label: str, **configured: dict[str, Any]) -> Any:
    user = user_of(task.name if isinstance(task, Digits) else "fruits", label, **configured)
    user.meet(task)
    return user


# ---------------------------------------------------------------- conjunctions


@pytest.mark.parametrize(
    "wanted",
    [
        {"kind": "apple", "colour": "green"},
        {"count": 2, "background": ["white", "blue"]},
        {"kind": ["pear", "lemon"], "colour": "yellow", "size": "large"},
    ],
)
def test_a_conjunction_is_liked_where_all_of_it_is_there(fruits: Fruits, shown: Any, wanted: dict[str, Any]) -> None:
    images, attributes = shown
    user = met(fruits, "a", a={"kind": "conjunction", "wanted": wanted})
    sets = {name: value if isinstance(value, list) else [value] for name, value in wanted.items()}
    truth = np.array([all(getattr(what, name) in values for name, values in sets.items()) for what in attributes])
    told = user.verdict(images)
    assert 0 < truth.mean() < 0.35 and (told == truth).mean() > 0.95
    with torch.no_grad():
        preference = user.preference(images).numpy()
    assert preference[truth].mean() > 0.7 and preference[~truth].mean() < 0.1
    ((name, elsewhere),) = user.elsewhere().items()
    assert name == "held_out" and (elsewhere(images) == truth).mean() > 0.9


def test_each_further_wish_makes_a_like_rarer(fruits: Fruits, shown: Any) -> None:
    wishes = {"kind": ["apple", "pear", "grape"], "colour": "green", "count": 1, "background": list(BACKGROUNDS)[:2]}
    steps = [dict(list(wishes.items())[:n]) for n in range(1, len(wishes) + 1)]
    rates = [met(fruits, "a", a={"kind": "conjunction", "wanted": w}).verdict(shown[0]).mean() for w in steps]
    assert rates == sorted(rates, reverse=True) and 0 < rates[-1] < 0.3 * rates[0]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [({"kidn": "apple"}, ("attribute", "did you mean 'kind'")), ({"colour": "gren"}, ("did you mean 'green'",))],
)
def test_a_wish_that_no_picture_fulfils_is_refused(
    fruits: Fruits, wanted: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(SettingsError) as raised:
        met(fruits, "a", a={"kind": "conjunction", "wanted": wanted})
    assert_paragraph(str(raised.value), *words)


# ---------------------------------------------------------------- the judge in haste


def test_the_hasty_judge_is_right_about_most_renders_and_wrong_about_many(fruits: Fruits, shown: Any) -> None:
    images, attributes = shown
    user = met(fruits, "hasty-lemon")
    truth = np.array([what.kind == "lemon" for what in attributes])
    right = (user.verdict(images) == truth).mean()
    assert 0.85 < verified_card(HASTY)["figures"]["kind_accuracy"] < 0.9
    assert 0.9 < right < 0.995  # of one kind against seven others
    assert (met(fruits, "lemon", **LEMON).verdict(images) == truth).mean() > right
    assert (
        user.classes == met(fruits, "lemon", **LEMON).classes
    )  # so that every other judge is asked about what it means


def test_the_preference_of_the_hasty_judge_has_a_gradient(fruits: Fruits, shown: Any) -> None:
    images = shown[0][:4].clone().requires_grad_()
    met(fruits, "hasty-lemon").preference(images).sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0


def test_a_run_for_the_hasty_judge_depends_on_its_weights(tmp_path: Path) -> None:
    block = {"task": "fruits", "methods": ["base"], "users": ["hasty-lemon", "banana"], "seeds": [0]}
    hasty, plain = tiny.grid(tmp_path, block)
    assert set(hasty.weights) - set(plain.weights) == {f"hasty/{name}" for name in artefact_hashes(HASTY)} != set()


# ---------------------------------------------------------------- a taste that changes


def test_a_taste_changes_half_way_and_is_measured_by_the_later_one(tmp_path: Path, digits: Digits) -> None:
    images = digits.part("C")[0][:100]
    user = met(digits, "a", a={"user": "likes-3", "then": "likes-068"})
    before, after = met(digits, "likes-3"), met(digits, "likes-068")

    def told(progress: float) -> np.ndarray:
        return user.at(progress).answer(images, "binary", Stream(0)).preference

    for progress, expected in ((0.0, before), (0.49, before), (0.5, after), (0.9, after)):
        np.testing.assert_array_equal(told(progress), expected.verdict(images))
    np.testing.assert_array_equal(user.verdict(images), after.verdict(images))
    assert user.classes == (0, 6, 8)
    block = {"task": "digits", "methods": ["base"], "users": ["a", "likes-3"], "seeds": [0]}
    changing, plain = tiny.grid(tmp_path, block, users={"a": {"user": "likes-3", "then": "likes-068"}})
    assert (
        changing.described["user"]["then"]["taste"] == {"classes": [0, 6, 8]} and "then" not in plain.described["user"]
    )


def test_a_taste_that_changes_can_have_noise_on_top(digits: Digits) -> None:
    images = digits.part("C")[0][:50]
    user = met(digits, "a", a={"user": "likes-3", "then": "likes-068", "flip": 1.0})
    for progress, label in ((0.0, "likes-3"), (0.5, "likes-068")):
        told = user.at(progress).answer(images, "binary", Stream(0)).preference
        np.testing.assert_array_equal(told, 1 - met(digits, label).verdict(images))


@pytest.mark.parametrize(
    ("users", "words"),
    [
        ({"a": {"user": "likes-3", "then": "likes-4"}}, ("users.a", "did you mean")),
        ({"a": {"user": "likes-3", "then": "likes-068"}, "b": {"user": "a", "then": "likes-3"}}, ("changes already",)),
        ({"a": {"user": "likes-3", "then": "b"}, "b": {"user": "likes-3", "flip": 0.1}}, ("noise already",)),
        ({"a": {"user": "likes-3", "then": "a"}}, ("user of itself",)),
        ({"a": {"kind": "classes", "classes": [1], "then": "likes-3"}}, ("users.a", "'then'")),
    ],
)
def test_what_is_no_change_of_taste_is_refused(tmp_path: Path, users: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError) as raised:
        tiny.grid(tmp_path, {"task": "digits", "methods": ["base"], "users": list(users), "seeds": [0]}, users=users)
    assert_paragraph(str(raised.value), *words)


# ---------------------------------------------------------------- moods


def test_moods_turn_the_answers_of_whole_rounds(digits: Digits) -> None:
    images = digits.part("C")[0][:200]
    truth = met(digits, "likes-1479").verdict(images)
    user = met(digits, "a", a={"user": "likes-1479", "moods": 0.5})
    assert isinstance(user, NoisyUser)
    seen = {"none": 0, "bad": 0, "good": 0}
    for round_ in range(200):
        told = user.answer(images, "binary", Stream(0).at(round=round_)).preference
        withheld, given = (told < truth)[truth == 1].mean(), (told > truth)[truth == 0].mean()
        assert min(withheld, given) == 0
        seen["bad" if withheld else "good" if given else "none"] += 1
        assert withheld == 0 or 0.3 < withheld < 0.7
        assert given == 0 or 0.1 < given < 0.45
    assert 70 < seen["none"] < 130 and 25 < seen["bad"] < 75 and 25 < seen["good"] < 75
    np.testing.assert_array_equal(user.verdict(images), truth)  # what is measured is the taste


# ---------------------------------------------------------------- one thickness


def test_the_best_thickness_lies_inside_of_a_range(digits: Digits) -> None:
    images, deviations = digits.part("C")[0], []
    user = met(digits, "a", a={"kind": "strokes", "best": 0.5, "width": 0.4})
    mean, deviation = digits.ink()
    z = ((images.mean((1, 2, 3)) + 1) / 2 - mean) / deviation
    graded = user.verdict(images)
    np.testing.assert_allclose(graded, np.exp(-((z.numpy() - 0.5) ** 2) / 0.32), atol=1e-5)
    deviations = np.abs(z.numpy() - 0.5)
    assert (np.diff(graded[np.argsort(deviations)]) <= 1e-6).all() and graded.max() > 0.99
