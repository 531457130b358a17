"""The simulated population: the choice rule by its formula, tastes that are shared and individual, and the user."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from papa.benchmark.personal.population import NU, SEEN, Person, Population
from papa.benchmark.tasks.fruits.attributes import VALUES
from papa.benchmark.users.attributes import Member, MemberTaste
from papa.rng import Stream


def test_choices_follow_the_model_with_ties() -> None:
    n, a, b, tau = 200_000, 0.3, -0.2, 0.8
    said = Person(0, (), tau, True).choose(np.full(n, a), np.full(n, b), Stream(0).uniform(n))
    first, second = np.exp(a / tau), np.exp(b / tau)
    tie = NU * np.sqrt(first * second)
    shares = np.array([first, second, tie]) / (first + second + tie)
    assert [float((said == label).mean()) for label in (1, 0, 0.5)] == pytest.approx(shares.tolist(), abs=0.005)
    certain = Person(0, (), 1e-3, True)
    assert certain.choose(np.array([1e5, -1e5]), np.zeros(2), np.array([0.5, 0.5])).tolist() == [1, 0]


@pytest.fixture(scope="module")
def people() -> Population:
    return Population(VALUES)


def test_a_number_says_everything_about_a_person(people: Population) -> None:
    one, again = people.person(7), Population(VALUES).person(7)
    assert all(np.array_equal(one.tastes[0][name], again.tastes[0][name]) for name in VALUES)
    assert (one.temperature, one.consistent) == (again.temperature, again.consistent)


def test_tastes_are_shared_in_part_and_some_are_double(people: Population) -> None:
    persons = [people.person(i) for i in range(SEEN)]
    assert 0.15 < np.mean([p.varied for p in persons]) < 0.35
    assert 0.4 < np.mean([p.consistent for p in persons]) < 0.6
    flat = np.stack([np.concatenate([p.tastes[0][name] for name in VALUES]) for p in persons])
    likeness = np.corrcoef(flat)[np.triu_indices(SEEN, 1)]
    assert np.quantile(likeness, 0.97) > 0.5 and np.median(likeness) < 0.3  # one of a few, and not all alike
    assert all(abs(w.mean()) < 1e-9 for p in persons[:9] for taste in p.tastes for w in taste.values())


def test_the_better_of_two_tastes_counts(people: Population) -> None:
    person = next(p for p in map(people.person, range(SEEN)) if p.varied)
    shares = {name: np.eye(len(values))[[0, 1]] for name, values in VALUES.items()}
    by_hand = [sum(shares[name] @ w for name, w in taste.items()) for taste in person.tastes]
    assert person.utility(shares).tolist() == np.maximum(*by_hand).tolist()


class Grey:
    """A task whose pictures are grey levels, and whose one attribute is whether they are bright."""

    values = {"light": ("dark", "bright")}

    def attributes(self) -> Grey:
        return self

    def __call__(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        bright = (images.mean((1, 2, 3)) + 1) / 2
        return {"light": torch.stack([1 - bright, bright], 1)}

    def known_images(self) -> tuple[torch.Tensor, np.ndarray]:
        levels = torch.linspace(-1, 1, 101).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
        return levels, np.zeros(101, dtype=np.int64)


@pytest.fixture
def member() -> Member:
    number = next(i for i in range(99) if not Population(Grey.values).person(i).varied)
    user = Member(MemberTaste(number=number))
    user.calibrate(Grey())
    return user


def test_a_member_likes_the_stated_share_and_grades_along_their_utility(member: Member) -> None:
    images = Grey().known_images()[0]
    assert member.verdict(images).mean() == pytest.approx(0.25, abs=0.02)
    graded = Member(MemberTaste(number=member.taste.number, graded=True))
    graded.calibrate(Grey())
    order = member.utility(images).argsort()
    assert (np.diff(graded.verdict(images)[order]) >= 0).all()
    assert torch.autograd.grad(member.preference(x := images.clone().requires_grad_(True)).sum(), x)[0].abs().sum() > 0


def test_a_member_chooses_between_pairs_and_sometimes_errs(member: Member) -> None:
    images = Grey().known_images()[0][torch.tensor([0, 100] * 200)]
    found = member.answer(images, "pairs", Stream(0))
    assert found.pairs is not None and found.ties is not None
    assert len(found.pairs) + len(found.ties) == 200
    utility = member.utility(images)
    right = np.mean(utility[found.pairs[:, 0]] > utility[found.pairs[:, 1]])
    assert 0.7 < right <= 1
    assert member.answer(images, "binary", Stream(0)).pairs is None
