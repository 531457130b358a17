"""From persons to pairs and from pairs to a training: what is written is what is learned from, and nothing twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from papa.benchmark.personal import pick_a_pic
from papa.benchmark.personal.pick_a_pic import Choice
from papa.benchmark.personal.population import Population, standardized
from papa.benchmark.personal.preferences import Pool, Telling, chosen_by, gathered, shares_of, training_pairs
from papa.benchmark.tasks.images import to_range
from papa.errors import PapaError
from papa.methods.ppd_training import Pairs
from papa.models.personal.encoder import PixelEncoder
from papa.rng import Stream

D = 6 * PixelEncoder.GRID**2
FEW = Telling(told=4, shots=(2, 4), draws=3)


class Light:
    """One attribute: whether a picture is bright."""

    values = {"light": ("dark", "bright")}

    def __call__(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        bright = (images.mean((1, 2, 3)) + 1) / 2
        return {"light": torch.stack([1 - bright, bright], 1)}


@pytest.fixture(scope="module")
def pool() -> Pool:
    images = (Stream(0).uniform(12, 1, 1, 3) * 256).astype(np.uint8).repeat(8, 1).repeat(8, 2)
    return Pool(images, np.arange(12) % 2, ("a thing", "another thing"))


def people(n: int = 2) -> list:
    return [Population(Light.values).person(i) for i in range(n)]


def made(rows: list[Choice]) -> Pairs:
    encoder = PixelEncoder(torch.zeros(D), torch.ones(D))
    return training_pairs(
        gathered(rows),
        encoder,
        lambda images: to_range(np.stack(images)),
        lambda prompts: torch.arange(len(prompts)).float().view(-1, 1, 1),
        Stream(1),
        FEW,
    )


@pytest.fixture(scope="module")
def rows(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> list[Choice]:
    file = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    pick_a_pic.write(file, list(pool.images), chosen_by(people(), Light(), pool, 20, Stream(0)))
    return list(pick_a_pic.read([file]))


def test_persons_choose_within_a_prompt_and_mostly_what_they_like_better(pool: Pool) -> None:
    [person] = people(1)
    rows = chosen_by([person], Light(), pool, 600, Stream(0))
    utility = standardized(person.utility(shares_of(Light(), to_range(pool.images))))
    assert all(pool.prompt[row.first] == pool.prompt[row.second] for row in rows)
    assert [row.caption for row in rows[:40:2]] == ["a thing"] * 20 and {row.caption for row in rows} == {*pool.prompts}
    right = [(utility[row.first] > utility[row.second]) == (row.label == 1) for row in rows if row.label != 0.5]
    assert np.mean(right) > 0.65 and any(row.label == 0.5 for row in rows)


def test_a_training_learns_from_the_rows_behind_those_that_describe(rows: list[Choice]) -> None:
    pairs = made(rows)
    expected = [(row.user, row.label, row) for user in ("person-000", "person-001") for row in rows if row.user == user]
    behind = [row for i, (_, label, row) in enumerate(expected) if i % 20 >= 4 and label != 0.5]
    assert len(pairs) == len(behind)
    for i, row in enumerate(behind):
        better, worse = (row.first, row.second) if row.label == 1 else (row.second, row.first)
        assert torch.equal(pairs.latents[pairs.preferred[i]], to_range(np.stack([better]))[0])
        assert torch.equal(pairs.latents[pairs.rejected[i]], to_range(np.stack([worse]))[0])
        assert pairs.user[i] == int(row.user[-1])
    assert pairs.users.shape == (2, 3, 2, 3 * D) and not pairs.unknown[1].any()
    assert len(pairs.latents) == len({image.tobytes() for row in rows for image in (row.first, row.second)})


def test_a_person_with_too_few_pairs_is_named(rows: list[Choice]) -> None:
    mine = [row for row in rows if row.user == "person-001"]
    with pytest.raises(PapaError, match=r"user 'person-001' has 4 pairs; 4 are its conditioning, and more"):
        made([*(row for row in rows if row.user == "person-000"), *mine[:4]])


def test_a_picture_in_many_pairs_is_stored_once(tmp_path: Path) -> None:
    noise = (Stream(0).uniform(2, 64, 64, 3) * 256).astype(np.uint8)
    row = pick_a_pic.Written("ann", "a thing", 0, 1, 1.0)
    sizes = []
    for n in (1, 1000):
        pick_a_pic.write(tmp_path / "pairs.parquet", list(noise), [row] * n)
        sizes.append((tmp_path / "pairs.parquet").stat().st_size)
    assert sizes[1] < 1.5 * sizes[0]
