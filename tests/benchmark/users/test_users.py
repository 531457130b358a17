"""The simulated users: every kind on its task, and what each kind prefers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support import tiny_sd15
from support.drawn_images import images_of
from support.users_of import user_of
from torch import Tensor

from papa.benchmark.tasks.artefacts import verified_card
from papa.benchmark.tasks.digits.task import Digits
from papa.benchmark.tasks.fruits.render import Attributes, pictures
from papa.benchmark.tasks.fruits.task import HASTY, Fruits
from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.benchmark.tasks.images import to_range
from papa.benchmark.tasks.pipeline import Sd15Settings
from papa.benchmark.tasks.pipeline.task import PipelineTask
from papa.benchmark.users import KINDS
from papa.benchmark.users.classes import ClassTaste, ClassUser
from papa.benchmark.users.concepts import ConceptTaste, ConceptUser
from papa.benchmark.users.interface import User
from papa.errors import PapaError, SettingsError
from papa.rng import Stream

CLASSES = {"likes-1479": (1, 4, 7, 9), "likes-068": (0, 6, 8), "likes-3": (3,)}

# One user of each kind, and some settings: (task, entry).
USERS: dict[str, tuple[str, dict[str, Any]]] = {
    "classes": ("digits", {"kind": "classes", "classes": [1, 4, 7, 9]}),
    "strokes": ("digits", {"kind": "strokes"}),
    "strokes-best": ("digits", {"kind": "strokes", "best": 0.5, "width": 0.4}),
    "concepts": ("fruits", {"kind": "concepts", "wanted": {"kind": "apple", "count": 2}}),
    "concepts-graded": ("fruits", {"kind": "concepts", "wanted": {"kind": "apple"}, "graded": True}),
    "union": ("fruits", {"kind": "union", "members": [{"kind": "pear"}, {"count": 2}]}),
    "hasty": ("fruits", {"kind": "hasty", "wanted": {"kind": "lemon"}}),
    "conjunction": ("fruits", {"kind": "conjunction", "wanted": {"kind": "apple", "colour": "green"}}),
    "member": ("fruits", {"kind": "member", "number": 300}),
    "member-graded": ("fruits", {"kind": "member", "number": 300, "graded": True}),
    "reward": ("gmm2d", {"kind": "reward", "slope": [0.6, -0.3]}),
    "component": ("gmm2d", {"kind": "component", "component": 1}),
}
PAIRS = {"concepts", "concepts-graded", "union", "member", "member-graded"}


def calibrated(task: Any, name: str, label: str, **configured: dict[str, Any]) -> User:
    user = user_of(name, label, **configured)
    user.calibrate(task)
    return user


@pytest.fixture(scope="module")
def shown() -> tuple[Tensor, list[Attributes]]:
    """Renders that no judge was trained on, and what they show."""
    images, attributes = pictures(480, Stream(5).at("hard").generator())
    return to_range(images), attributes


@pytest.fixture(scope="module", params=USERS)
def met(request: pytest.FixtureRequest, digits: Digits, fruits: Fruits, plane: Gmm2d, shown: Any) -> Any:
    """A user of every kind and images of its task: (name, user, images)."""
    assert {entry["kind"] for _, entry in USERS.values()} == set(KINDS)
    task, entry = USERS[request.param]
    of: Any = {"digits": digits, "fruits": fruits, "gmm2d": plane}[task]
    points = torch.from_numpy(Stream(0).normal(48, 2, dtype=np.float64))
    images = {"digits": digits.part("C")[0][:48], "fruits": shown[0][:48], "gmm2d": points}[task]
    return request.param, calibrated(of, task, "a", a=entry), images


def test_a_user_answers_by_the_taste(met: Any) -> None:
    name, user, images = met
    given = user.answer(images, "binary", Stream(0))
    np.testing.assert_array_equal(given.preference, user.verdict(images))
    np.testing.assert_allclose(given.probability, user.preference(images).detach().numpy(), rtol=1e-6)
    assert given.preference.dtype == np.float64 and ((given.preference >= 0) & (given.preference <= 1)).all()
    graded = not set(given.preference) <= {0.0, 1.0}
    assert graded == (name.startswith(("strokes", "reward", "component")) or name.endswith("graded"))
    if name != "hasty" and graded:
        assert (np.diff(given.preference[np.argsort(given.probability)]) >= -1e-7).all()  # an increasing map


def test_the_preference_has_a_gradient(met: Any) -> None:
    _, user, images = met
    images = images[:4].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(user.preference(images).sum(), images)
    assert gradient.abs().sum() > 0
    user.answer(images, "binary", Stream(0))  # a gradient does not stand in the way of an answer


def test_pairs_name_the_preferred_item_first(met: Any) -> None:
    name, user, images = met
    if name not in PAIRS:
        with pytest.raises(PapaError, match="item by item"):
            user.answer(images, "pairs", Stream(0))
        return
    given = user.answer(images[:47], "pairs", Stream(0))
    ties = np.zeros((0, 2), int) if given.ties is None else given.ties
    assert sorted([*given.pairs.flatten(), *ties.flatten()]) == list(range(46))
    right = given.probability[given.pairs[:, 0]] >= given.probability[given.pairs[:, 1]]
    assert right.all() if not name.startswith("member") else right.mean() > 0.5  # members choose with noise


# ---------------------------------------------------------------- classes, strokes


@pytest.mark.parametrize("name", CLASSES)
def test_the_papers_users_like_images_of_their_classes(name: str, digits: Digits) -> None:
    images, labels = digits.part("C")
    user = calibrated(digits, "digits", name)
    assert (user.verdict(images) == np.isin(labels, CLASSES[name])).mean() > 0.97
    probabilities = digits.judges()["gold"].probabilities(images)
    np.testing.assert_array_equal(user.verdict(images), np.isin(probabilities.argmax(1), CLASSES[name]))


def test_the_argmax_decides_and_not_a_probability_of_one_half() -> None:
    """Two preferred classes share 0.55, and the likeliest class is a third one."""

    class Judge:
        head = torch.nn.Linear(1, 3)

        def gold_network(self) -> Any:
            return self

        def __call__(self, images: Tensor) -> Tensor:
            return torch.tensor([[0.28, 0.27, 0.45]]).log().expand(len(images), -1)

    user = ClassUser(ClassTaste(classes=(0, 1)))
    user.calibrate(Judge())
    given = user.answer(torch.zeros(1, 1, 8, 8), "binary", Stream(0))
    assert given.preference[0] == 0.0 and given.probability == pytest.approx([0.55])


def test_a_class_that_the_task_does_not_have_is_refused(digits: Digits) -> None:
    with pytest.raises(SettingsError, match="class 10"):
        calibrated(digits, "digits", "a", a={"kind": "classes", "classes": [1, 10]})


def test_strokes_are_measured_from_the_real_images(digits: Digits) -> None:
    mean, std = digits.ink()
    z = torch.tensor([0.5, 1, 2])
    images = (2 * (mean + z * std) - 1).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    assert calibrated(digits, "digits", "likes-thick").verdict(images) == pytest.approx([0.2689, 0.5, 0.8808], abs=1e-3)
    best = calibrated(digits, "digits", "a", a={"kind": "strokes", "best": 0.5, "width": 0.5})
    assert best.verdict(images) == pytest.approx([1, np.exp(-0.5), np.exp(-4.5)], abs=1e-3)


# ---------------------------------------------------------------- concepts


def test_at_temperature_10_nearly_all_is_disliked_raw_and_the_best_prompt_decides() -> None:
    bank = {name: [f"a {name}"] for name in Sd15Settings().bank}
    task = PipelineTask(tiny_sd15.settings(bank=bank, temperature=10))
    images = images_of(task, 32)
    answers, preference = [], []
    for name in bank:
        user = ConceptUser(ConceptTaste(wanted={"kind": name}))
        user.calibrate(task)
        given = user.answer(images, "binary", Stream(0))
        answers.append(given.preference)
        preference.append(given.probability)
    assert (2 * np.stack(preference) - 1 < 0).mean() > 0.9
    np.testing.assert_array_equal(np.stack(answers).argmax(0), task.proxy().similarity(images).argmax(1).numpy())
    np.testing.assert_array_equal(np.stack(answers).sum(0), 1)  # each image is liked by one user


def test_concepts_and_unions_like_what_is_shown(fruits: Fruits) -> None:
    images, concepts = fruits.known_images()
    for name in ("concepts", "union"):
        user = calibrated(fruits, "fruits", "a", a=USERS[name][1])
        truth = np.isin(concepts, user.classes or ())
        assert 0 < truth.mean() < 0.6 and (user.verdict(images) == truth).mean() > 0.97


def test_a_union_prefers_what_its_members_prefer_most(fruits: Fruits, shown: Any) -> None:
    images, wanted = shown[0][:64], [{"kind": "apple"}, {"kind": "banana"}]
    alone = [calibrated(fruits, "fruits", "a", a={"kind": "concepts", "wanted": member}) for member in wanted]
    both = calibrated(fruits, "fruits", "a", a={"kind": "union", "members": wanted})
    torch.testing.assert_close(both.preference(images), torch.stack([u.preference(images) for u in alone]).amax(0))
    np.testing.assert_array_equal(both.verdict(images), np.stack([u.verdict(images) for u in alone]).max(0))


def test_no_grades_are_made_of_a_proxy_that_knows_nothing() -> None:
    with pytest.raises(PapaError, match="too close for grades"):
        ConceptUser(ConceptTaste(wanted={"kind": "apple"}, graded=True)).calibrate(tiny_sd15.task())


def test_the_hasty_judge_is_mostly_right_and_less_than_the_proxy(fruits: Fruits, shown: Any) -> None:
    images, attributes = shown
    truth = np.array([what.kind == "lemon" for what in attributes])
    hasty = calibrated(fruits, "fruits", "hasty-lemon")
    lemon = calibrated(fruits, "fruits", "lemon", lemon={"kind": "concepts", "wanted": {"kind": "lemon"}})
    right = (hasty.verdict(images) == truth).mean()
    assert 0.85 < verified_card(HASTY)["figures"]["kind_accuracy"] < 0.9
    assert 0.9 < right < min(0.995, (lemon.verdict(images) == truth).mean()) and hasty.classes == lemon.classes


# ---------------------------------------------------------------- attributes


@pytest.mark.parametrize(
    "wanted",
    [
        {"kind": "apple", "colour": "green"},
        {"count": 2, "background": ["white", "blue"]},
        {"kind": ["pear", "lemon"], "colour": "yellow", "size": "large"},
    ],
)
def test_a_conjunction_is_liked_if_all_attributes_fit(fruits: Fruits, shown: Any, wanted: dict[str, Any]) -> None:
    images, attributes = shown
    user = calibrated(fruits, "fruits", "a", a={"kind": "conjunction", "wanted": wanted})
    sets = {name: value if isinstance(value, list) else [value] for name, value in wanted.items()}
    truth = np.array([all(getattr(what, name) in values for name, values in sets.items()) for what in attributes])
    assert 0 < truth.mean() < 0.35 and (user.verdict(images) == truth).mean() > 0.95
    preference = user.preference(images).detach().numpy()
    assert preference[truth].mean() > 0.7 and preference[~truth].mean() < 0.1
    ((name, held_out),) = user.held_out_verdicts().items()
    assert name == "held_out" and (held_out(images) == truth).mean() > 0.9


@pytest.mark.parametrize(("wanted", "near"), [({"kidn": "apple"}, "'kind'"), ({"colour": "gren"}, "'green'")])
def test_an_unknown_attribute_is_refused(fruits: Fruits, wanted: dict[str, Any], near: str) -> None:
    with pytest.raises(SettingsError, match=near):
        calibrated(fruits, "fruits", "a", a={"kind": "conjunction", "wanted": wanted})


# ---------------------------------------------------------------- rewards


def test_rewards_by_hand(plane: Gmm2d) -> None:
    point = torch.tensor([[1.0, 2.0]])
    assert calibrated(plane, "gmm2d", "linear").preference(point).item() == pytest.approx(0.6 * 1 - 0.3 * 2)
    quadratic = 0.8 * 1 - 0.2 * 2 - 0.15 * (0.8**2 + 1.8**2)
    assert calibrated(plane, "gmm2d", "quadratic").preference(point).item() == pytest.approx(quadratic)
    component = calibrated(plane, "gmm2d", "component").preference(plane.mixture.means[1:2])
    assert 0.5 < component.item() <= 0.75


def test_the_log_odds_of_a_grade_are_the_reward_up_to_a_constant(plane: Gmm2d) -> None:
    points = torch.from_numpy(Stream(0).normal(50, 2, dtype=np.float64))
    for name in ("linear", "quadratic", "component"):
        given = calibrated(plane, "gmm2d", name).answer(points, "graded", Stream(0))
        difference = np.log(given.preference / (1 - given.preference)) - given.probability
        np.testing.assert_allclose(difference, difference[0], atol=1e-8)
