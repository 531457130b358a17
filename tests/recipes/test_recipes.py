"""The recipes of the shipped artefacts, from the command to the model card, with two training steps."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from papa.benchmark.runs import key as provenance
from papa.benchmark.tasks import artefacts
from papa.benchmark.tasks.digits import DigitsSettings
from papa.benchmark.tasks.digits.task import Digits
from papa.benchmark.tasks.fruits import FruitsSettings
from papa.benchmark.tasks.fruits.task import Fruits
from papa.cli import main
from papa.rng import Stream
from recipes import shared
from recipes.fruits import card, recipe


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """A copy of a task's artefacts in the package's place."""

    def copied(task: str) -> Path:
        return Path(shutil.copytree(provenance.PACKAGE / "data" / task, tmp_path / "data" / task))

    monkeypatch.setattr(artefacts, "PACKAGE", tmp_path)
    artefacts.verified_card.cache_clear()
    yield copied
    artefacts.verified_card.cache_clear()


def retrained(capsys: pytest.CaptureFixture[str], task: str) -> str:
    """What the command says."""
    assert main(["prepare", "--task", task, "--retrain", "--steps", "2"]) == 0
    return "".join(capsys.readouterr())


def only_whole(place: Path, beside: tuple[str, ...] = ()) -> None:
    """Nothing but the task's folder is left, and its card holds for every file. beside: what was there before."""
    assert sorted(p.name for p in place.parent.iterdir()) == sorted([place.name, *beside])
    assert shared.hashes(place) == artefacts.verified_card(place.name)["sha256"]


def test_digits(home: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    place = home("digits")
    shipped = artefacts.verified_card("digits")
    assert "gold accuracy" in retrained(capsys, "digits")
    only_whole(place)
    made = artefacts.verified_card("digits")
    assert made["recipe"] | {"steps": 2} == made["recipe"] != shipped["recipe"]
    assert made["splits"] == shipped["splits"] and made["figures"]["fid_to_C"] > shipped["figures"]["fid_to_C"]
    assert f"{made['figures']['fid_to_C']:.2f}" in (place / "README.md").read_text()
    Digits(DigitsSettings())


def test_fruits_goes_on_from_where_it_was_stopped(
    home: Callable[[str], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, value in (
        (recipe, "BLOCKS", 1),
        (recipe, "BLOCK", 320),
        (recipe, "HALF", 160),
        (card, "HELD_OUT", 64),
        (card, "GENERIC", 96),
        (card, "PER_KIND", 4),
        (card, "SCALES", (1.0, 2.0)),
        (card, "RATED", 48),
    ):
        monkeypatch.setattr(module, name, value)
    place, beside = home("fruits"), home("fruits_hasty").name  # one of its users is the hasty judge
    before = artefacts.verified_card("fruits")["sha256"]

    class Stopped(Exception):
        pass

    def stop(*args: object, **kwargs: object) -> None:
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(recipe, "train_clip", stop)
        with pytest.raises(Stopped):
            recipe.retrain(lambda line: None, steps=2)
    assert artefacts.verified_card("fruits")["sha256"] == before  # what was shipped is still in its place
    with monkeypatch.context() as patch:
        patch.setattr(recipe, "train_diffusion", stop)  # finished, so not called again
        patch.setattr(card, "judges_figures", stop)
        with pytest.raises(Stopped):
            recipe.retrain(lambda line: None, steps=2)
    assert "figures" not in artefacts.verified_card("fruits")
    said = retrained(capsys, "fruits")
    assert "step" not in said and "autoencoder: " in said  # only measured
    only_whole(place, (beside,))
    assert artefacts.verified_card("fruits")["sha256"] != before
    assert "FID to renders" in (place / "README.md").read_text() and (place / "samples.png").is_file()
    Fruits(FruitsSettings())


def test_a_training_leaves_the_global_generator_alone_and_depends_on_its_stream_only() -> None:
    @shared.reproducible
    def training(n: int, stream: Stream) -> torch.Tensor:
        return torch.randn(n)

    before = torch.get_rng_state()
    first = training(4, Stream(1))
    torch.randn(3)
    assert torch.equal(first, training(4, stream=Stream(1))) and not torch.equal(first, training(4, Stream(2)))
    torch.set_rng_state(before)
    training(4, Stream(1))
    assert torch.equal(before, torch.get_rng_state())
