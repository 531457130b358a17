"""The simulated users: what they like, how they answer, and the noise in between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from support.users_of import user_of
from torch import Tensor

from papa.benchmark.tasks import declaration
from papa.benchmark.tasks.digits.task import Digits
from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.benchmark.users.classes import ClassTaste
from papa.benchmark.users.classes.user import ClassUser
from papa.benchmark.users.declaration import Taste
from papa.benchmark.users.interface import NoisyUser, User
from papa.benchmark.users.strokes.user import ink
from papa.errors import PapaError
from papa.feedback import Feedback, Kind
from papa.rng import Stream

CLASSES = {"likes-1479": (1, 4, 7, 9), "likes-068": (0, 6, 8), "likes-3": (3,)}


@pytest.fixture(scope="module")
def real(digits: Digits) -> tuple[Tensor, np.ndarray]:
    """200 real images that the gold judge never saw, and their classes."""
    images, labels = digits.part("C")
    return images[:200], labels[:200]


def met(name: str, task: Digits | Gmm2d, kind: str = "digits") -> User:
    user = user_of(kind, name)
    user.meet(task)
    return user


# ---------------------------------------------------------------- class users


def test_the_papers_users_are_there() -> None:
    assert {name: user_of("digits", name).taste.classes for name in CLASSES} == CLASSES


@pytest.mark.parametrize("name", CLASSES)
def test_the_answer_is_whether_the_likeliest_class_is_in_the_set(name: str, digits: Digits, real) -> None:
    images, _ = real
    given = met(name, digits).answer(images, "binary", Stream(0))
    probabilities = digits.judges()["gold"].probabilities(images)
    wanted = np.isin(probabilities.argmax(1), CLASSES[name])
    assert given.preference.dtype == np.float64 and set(given.preference) <= {0.0, 1.0}
    np.testing.assert_array_equal(given.preference, wanted)
    np.testing.assert_allclose(given.probability, probabilities[:, CLASSES[name]].sum(1), atol=1e-6)


@pytest.mark.parametrize("name", CLASSES)
def test_on_real_digits_the_answers_are_nearly_always_right(name: str, digits: Digits, real) -> None:
    images, labels = real
    assert (met(name, digits).verdict(images) == np.isin(labels, CLASSES[name])).mean() > 0.97


def test_the_argmax_decides_and_not_a_probability_of_one_half() -> None:
    """Two preferred classes share 0.55, and the likeliest class is a third one."""

    class Judge:
        head = torch.nn.Linear(1, 3)

        def gold_network(self):
            return self

        def __call__(self, images):
            return torch.tensor([[0.28, 0.27, 0.45]]).log().expand(len(images), -1)

    user = ClassUser(ClassTaste(classes=(0, 1)))
    user.meet(Judge())
    given = user.answer(torch.zeros(1, 1, 8, 8), "binary", Stream(0))
    assert given.preference[0] == 0.0 and given.probability[0] == pytest.approx(0.55)


def test_preference_is_differentiable_for_the_controls(digits: Digits, real) -> None:
    for name in declaration("digits").users:
        images = real[0][:3].clone().requires_grad_(True)
        preference = met(name, digits).preference(images)
        assert preference.shape == (3,) and (preference >= 0).all() and (preference <= 1).all()
        (gradient,) = torch.autograd.grad(preference.sum(), images)
        assert gradient.abs().sum() > 0


def test_pairs_are_refused_by_users_who_answer_item_by_item(digits: Digits, real) -> None:
    with pytest.raises(PapaError, match="item by item"):
        met("likes-3", digits).answer(real[0], "pairs", Stream(0))


# ---------------------------------------------------------------- thick strokes


def test_thick_strokes_are_liked_the_more_the_more_ink(digits: Digits) -> None:
    grey = torch.linspace(-1, 0.2, 21).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    user = met("likes-thick", digits)
    answers = user.answer(grey, "graded", Stream(0)).preference
    assert (np.diff(answers) > 0).all() and answers.min() < 0.01 and answers.max() > 0.99
    assert user.classes is None


def test_thick_strokes_are_centred_on_the_real_images(digits: Digits, real) -> None:
    card = digits.card["ink"]
    level = torch.tensor([card["mean"] + z * card["std"] for z in (1, 2)])
    images = (2 * level - 1).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    assert met("likes-thick", digits).verdict(images) == pytest.approx([0.5, 0.8808], abs=1e-3)
    answers = met("likes-thick", digits).verdict(real[0])
    assert 0.05 < answers.mean() < 0.4 and len(np.unique(answers)) > 50  # graded, and hard to please


def test_ink_is_the_mean_brightness() -> None:
    image = torch.full((1, 1, 8, 8), -1.0)
    image[0, 0, :4] = 1.0
    assert ink(image).item() == pytest.approx(0.5)


# ---------------------------------------------------------------- functions


def test_function_users_answer_graded_and_in_the_order_of_their_reward(plane: Gmm2d) -> None:
    points = torch.from_numpy(Stream(0).normal(50, 2, dtype=np.float64))
    for name in declaration("gmm2d").users:
        user = met(name, plane, "gmm2d")
        given = user.answer(points, "graded", Stream(0))
        u = user.preference(points).numpy()
        np.testing.assert_array_equal(given.probability, u)
        assert ((given.preference > 0) & (given.preference < 1)).all()
        assert (np.diff(given.preference[np.argsort(u)]) >= 0).all()
        odds = np.log(given.preference / (1 - given.preference))
        np.testing.assert_allclose(odds - u, odds[0] - u[0], atol=1e-8)


def test_function_users_by_hand(plane: Gmm2d) -> None:
    point = torch.tensor([[1.0, 2.0]])
    assert met("linear", plane, "gmm2d").preference(point).item() == pytest.approx(0.6 * 1 - 0.3 * 2)
    quadratic = 0.8 * 1 - 0.2 * 2 - 0.15 * (0.8**2 + 1.8**2)
    assert met("quadratic", plane, "gmm2d").preference(point).item() == pytest.approx(quadratic)
    at_centre = plane.mixture.means[1:2]
    assert 0.5 < met("component", plane, "gmm2d").preference(at_centre).item() <= 0.75


# ---------------------------------------------------------------- noise on the answers


@dataclass
class Always(User):
    """Answers the same to everything."""

    value: float = 1.0
    taste = Taste()

    def meet(self, task: object) -> None:
        """Whatever it is."""

    def preference(self, images: Tensor) -> Tensor:
        return torch.full((len(images),), self.value)

    def verdict(self, images: Tensor) -> np.ndarray:
        return np.full(len(images), self.value)


ROUNDS, K = 250, 8


def answers(flip: float = 0.0, missing: float = 0.0, value: float = 1.0, seed: int = 0) -> np.ndarray:
    user, whims = NoisyUser(Always(value), flip=flip, missing=missing), Stream(seed).at("whims")
    return np.stack([user.answer(torch.zeros(K, 2), "binary", whims.at(round=h)).preference for h in range(ROUNDS)])


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 1.0])
def test_answers_are_flipped_at_the_rate_asked_for(p: float) -> None:
    flipped = answers(flip=p) == 0.0
    assert abs(flipped.mean() - p) <= 4.5 * np.sqrt(p * (1 - p) / flipped.size)
    assert (flipped.sum(0) > 0).all() == (p > 0)  # every place in a round alike


@pytest.mark.parametrize("q", [0.0, 0.1, 0.6, 1.0])
def test_answers_are_missing_at_the_rate_asked_for(q: float) -> None:
    missing = np.isnan(answers(missing=q))
    assert abs(missing.mean() - q) <= 4.5 * np.sqrt(q * (1 - q) / missing.size)


def test_flipped_and_missing_are_independent() -> None:
    found = answers(flip=0.5, missing=0.5)
    answered = found[~np.isnan(found)]
    assert abs((answered == 0).mean() - 0.5) <= 4.5 * 0.5 / np.sqrt(answered.size)


def test_a_graded_answer_is_turned_around() -> None:
    assert set(answers(flip=1.0, value=0.3).flatten()) == {0.7}


def test_the_true_probability_is_recorded_whatever_was_answered(digits: Digits, real) -> None:
    inner = met("likes-1479", digits)
    noisy = NoisyUser(inner, flip=1.0, missing=0.5)
    told, truth = noisy.answer(real[0], "binary", Stream(0)), inner.answer(real[0], "binary", Stream(0))
    np.testing.assert_array_equal(told.probability, truth.probability)
    answered = ~np.isnan(told.preference)
    np.testing.assert_array_equal(told.preference[answered], 1 - truth.preference[answered])
    assert 0 < answered.sum() < len(answered) and noisy.classes == inner.classes
    np.testing.assert_array_equal(noisy.verdict(real[0]), truth.preference)  # judged without the noise


def test_a_user_with_noise_learns_its_classes_when_it_meets_the_task() -> None:
    class LearnsLater(Always):
        def meet(self, task: object) -> None:
            self.classes = (3, 4)

    noisy = NoisyUser(LearnsLater(), flip=0.1)
    assert noisy.classes is None
    noisy.meet(object())
    assert noisy.classes == (3, 4)


def test_whims_depend_on_round_and_item_and_not_on_what_is_shown() -> None:
    """Two methods show different items and meet the same whims."""

    def struck(images: Tensor) -> np.ndarray:
        user = NoisyUser(Always(1.0), flip=0.4, missing=0.3)
        return np.stack([user.answer(images, "binary", Stream(0).at(round=h)).preference for h in range(20)])

    np.testing.assert_array_equal(struck(torch.zeros(K, 2)), struck(torch.ones(K, 2)))
    np.testing.assert_array_equal(struck(torch.zeros(3, 2)), struck(torch.zeros(K, 2))[:, :3])
    found = struck(torch.zeros(K, 2))
    assert not np.array_equal(found[0], found[1], equal_nan=True)
    assert not np.array_equal(answers(flip=0.4, seed=0), answers(flip=0.4, seed=1))


class Rated(Always):
    """Likes the images as much as their one number says, and says yes above 1/2."""

    def preference(self, images: Tensor) -> Tensor:
        return images[:, 0]

    def verdict(self, images: Tensor) -> np.ndarray:
        return (images[:, 0] > 0.5).double().numpy()


RATED = torch.tensor([[0.25], [0.125], [0.5], [0.5], [0.75], [1.0], [0.875]])


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("own", [0, 0, 0, 0, 1, 1, 1]),
        ("grades", [0.25, 0.125, 0.5, 0.5, 0.75, 1.0, 0.875]),
        ("pairs", [1, 0, 0.5, 0.5, 0, 1, np.nan]),  # the better of two that are disliked counts as liked
    ],
)
def test_the_forms_of_answers(form: str, said: list[float]) -> None:
    user = NoisyUser(Rated(), answers=form)
    found = user.answer(RATED, "binary", Stream(0))
    np.testing.assert_array_equal(found.preference, said)
    np.testing.assert_array_equal(found.probability, RATED[:, 0])
    np.testing.assert_array_equal(user.verdict(RATED), [0, 0, 0, 0, 1, 1, 1])  # measured by the taste itself


def test_somebody_who_compares_errs_or_says_nothing_about_both_at_once() -> None:
    images = torch.tensor([[1.0], [0.0]]).repeat(2000, 1)
    user = NoisyUser(Rated(), answers="pairs", flip=0.3, missing=0.2)
    of = user.answer(images, "binary", Stream(0)).preference.reshape(-1, 2)
    unanswered = np.isnan(of)
    assert (unanswered[:, 0] == unanswered[:, 1]).all() and abs(unanswered[:, 0].mean() - 0.2) < 0.05
    answered = of[~unanswered[:, 0]]
    assert (answered.sum(1) == 1).all() and abs((answered[:, 0] == 0).mean() - 0.3) < 0.05


class InPairs(Always):
    """Answers in pairs, the first item of each preferred."""

    def answer(self, images: Tensor, kind: Kind, stream: Stream) -> Feedback:
        return Feedback(self.verdict(images), np.ones(len(images)), np.arange(len(images)).reshape(-1, 2))


def pairs(flip: float = 0.0, missing: float = 0.0) -> np.ndarray:
    user, whims = NoisyUser(InPairs(1.0), flip=flip, missing=missing), Stream(0).at("whims")
    found = user.answer(torch.zeros(4000, 1), "pairs", whims).pairs
    assert found is not None
    return found


def test_pairs_are_turned_round_at_the_rate_asked_for() -> None:
    assert (pairs(flip=1.0)[:, 0] == np.arange(1, 4000, 2)).all()
    turned = pairs(flip=0.3)
    assert abs((turned[:, 0] > turned[:, 1]).mean() - 0.3) < 0.05 and len(turned) == 2000


def test_a_pair_with_an_unanswered_item_is_left_out() -> None:
    left = pairs(missing=0.2)
    answered = ~np.isnan(answers_of_pairs(missing=0.2))
    assert sorted(left.flatten()) == [i for i in range(4000) if answered[i] and answered[i ^ 1]]


def answers_of_pairs(missing: float) -> np.ndarray:
    return (
        NoisyUser(InPairs(1.0), missing=missing).answer(torch.zeros(4000, 1), "pairs", Stream(0).at("whims")).preference
    )
