"""Users who like a concept: verdicts, unions, grades and pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import tiny_sd15
from support.drawn_images import images_of
from support.users_of import user_of

from papa.benchmark.tasks.sd15 import Sd15Settings
from papa.benchmark.tasks.sd15.task import Sd15
from papa.benchmark.tasks.text_to_image import TextToImage
from papa.benchmark.users.concepts import ConceptTaste, UnionTaste
from papa.benchmark.users.concepts.user import ConceptUser, UnionUser
from papa.errors import PapaError
from papa.rng import Stream


def likes(**wanted: str) -> ConceptUser:
    """Somebody who likes the concepts with these attributes."""
    return ConceptUser(ConceptTaste(wanted=dict(wanted)))


def test_at_temperature_10_nearly_all_is_disliked_raw_and_the_best_prompt_decides() -> None:
    bank = {name: [f"a {name}"] for name in Sd15Settings().bank}
    task = Sd15(tiny_sd15.settings(bank=bank, temperature=10))
    images = images_of(task, 32)
    best = task.proxy().similarity(images).argmax(1).numpy()
    users = [likes(kind=name) for name in bank]
    for user in users:
        user.meet(task)
    preference = np.stack([user.answer(images, "binary", Stream(0)).probability for user in users])
    answers = np.stack([user.answer(images, "binary", Stream(0)).preference for user in users])
    assert (2 * preference - 1 < 0).mean() > 0.9
    np.testing.assert_array_equal(answers.argmax(0), best)
    np.testing.assert_array_equal(answers.sum(0), 1)  # everybody's picture is somebody's


def test_a_union_likes_what_its_members_like_most(task: TextToImage) -> None:
    wanted = [{"kind": "apple"}, {"kind": "banana"}]
    alone, both = [likes(**member) for member in wanted], UnionUser(UnionTaste(members=wanted))
    for user in (*alone, both):
        user.meet(task)
    images = images_of(task)
    expected = torch.stack([user.preference(images) for user in alone]).amax(0)
    torch.testing.assert_close(both.preference(images), expected)
    verdicts = np.stack([user.verdict(images) for user in alone]).max(0)
    np.testing.assert_array_equal(both.verdict(images), verdicts)


def test_a_graded_user_answers_between_0_and_1() -> None:
    task = tiny_sd15.either("fruits")
    user = ConceptUser(ConceptTaste(wanted={"kind": "apple"}, graded=True))
    user.meet(task)
    images, shown = task.known_images()
    graded = user.answer(images[: len(images) // 8 * 8], "graded", Stream(0))
    assert graded.preference.min() >= 0 and graded.preference.max() <= 1 and len(set(graded.preference)) > 2
    order = np.argsort(graded.probability)
    gaps = np.diff(graded.preference[order])
    assert (gaps >= 0).all()  # an increasing map
    assert len(images) == len(shown) and set(shown.tolist()) <= set(range(len(task.concepts)))


def test_no_grades_are_made_of_a_proxy_that_knows_nothing(small: Sd15) -> None:
    """The random proxy likes other pictures as much as the user's own, or more."""
    with pytest.raises(PapaError, match="does not tell them apart"):
        ConceptUser(ConceptTaste(wanted={"kind": "apple"}, graded=True)).meet(small)


def test_an_answer_looks_at_the_images_once(small: Sd15, monkeypatch: pytest.MonkeyPatch) -> None:
    user, looks = likes(kind="apple"), []
    user.meet(small)
    similarity = small.proxy().similarity
    monkeypatch.setattr(small.proxy(), "similarity", lambda images: looks.append(len(images)) or similarity(images))
    images = images_of(small, 4)
    told = user.answer(images, "pairs", Stream(0))
    assert looks == [4]
    np.testing.assert_array_equal(told.preference, user.verdict(images))
    np.testing.assert_allclose(told.probability, user.preference(images).numpy(), rtol=1e-6)


@settings(max_examples=20)
@given(k=st.integers(0, 9))
def test_pairs_name_the_preferred_item_first(k: int) -> None:
    task = tiny_sd15.task()
    images = task.known_images()[0][:k]
    user = user_of("sd15", "grape")
    user.meet(task)
    if k == 0:
        return
    told = user.answer(images, "pairs", Stream(0))
    assert told.pairs is not None and told.pairs.shape == (k // 2, 2)
    assert (told.probability[told.pairs[:, 0]] >= told.probability[told.pairs[:, 1]]).all()
    np.testing.assert_array_equal(np.sort(told.pairs, axis=1), np.arange(k // 2 * 2).reshape(-1, 2))
