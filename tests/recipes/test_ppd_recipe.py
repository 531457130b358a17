"""The recipe of PPD's artefacts, from the command to the model card, with two training steps and few pictures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from papa.benchmark.personal import population
from papa.benchmark.runs import key as provenance
from papa.benchmark.tasks import artefacts
from papa.benchmark.tasks.fruits import FruitsSettings
from papa.benchmark.tasks.fruits import personal as shipped
from papa.benchmark.tasks.fruits.task import Fruits
from papa.cli import main
from papa.models.personal.encoder import Choices
from recipes import shared
from recipes.fruits import choices, ppd


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The artefacts of `fruits` in another place, with few of everything."""
    data = tmp_path / "data"
    shutil.copytree(provenance.PACKAGE / "data" / "fruits", data / "fruits")
    monkeypatch.setattr(artefacts, "PACKAGE", tmp_path)
    for module, name, value in (
        (ppd, "ENCODER_PICTURES", 160),
        (choices, "OF_GENERIC", 24),
        (choices, "OF_OTHER", 6),
        (population, "SEEN", 6),
        (population, "UNSEEN", 2),
        (population, "TUNING", 2),
    ):
        monkeypatch.setattr(module, name, value)
    for cached in (artefacts.verified_card, shipped.load):
        cached.cache_clear()
    yield data
    for cached in (artefacts.verified_card, shipped.load):
        cached.cache_clear()


def test_from_the_command_to_a_model_that_draws_for_a_person(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(Exception):
        pass

    def stop(*args: object) -> None:
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(ppd, "Workshop", stop)
        with pytest.raises(Stopped):
            ppd.retrain(lambda line: None, steps=2)
    monkeypatch.setattr(choices, "make_pool", stop)  # made, so not made again
    monkeypatch.setattr(ppd, "train_clip", stop)
    assert main(["prepare", "--task", "fruits", "--part", "ppd", "--retrain", "--steps", "2"]) == 0
    assert "pixels" in "".join(capsys.readouterr())
    place = home / "fruits_ppd"
    assert sorted(p.name for p in home.iterdir()) == ["fruits", "fruits_ppd"]
    card = artefacts.verified_card("fruits_ppd")
    assert shared.hashes(place) == card["sha256"] and set(card["figures"]) == set(ppd.KINDS)
    assert "Diffusion-DPO without persons" in (place / "README.md").read_text()
    model = Fruits(FruitsSettings(steps=2)).model
    assert model.personal is not None
    personal = model.personal()
    told = model.with_adapter(personal)
    image = torch.zeros(1, 3, 32, 32)
    tokens = personal.encoder.encode(Choices(image, image + 0.5))
    noise = torch.randn(1, *model.shape)
    from papa.diffusion.denoiser import Cost

    base, drawn = (m.denoiser(Cost())(noise, 1.0) for m in (told, told.conditioned_on(tokens)))
    assert (base - drawn).abs().max() > 0


def test_an_unknown_part_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "--task", "fruits", "--part", "pdp", "--retrain"]) == 2
    assert "task fruits: unknown part 'pdp'; did you mean 'ppd'?" in capsys.readouterr().err
