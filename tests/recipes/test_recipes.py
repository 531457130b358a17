"""The training scripts, from their arguments to installed artefacts with a model card, with two training steps."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from support.tiny_mnist import drawn, write_idx

from papa.benchmark.personal import population
from papa.benchmark.tasks import artefacts
from papa.benchmark.tasks.digits import DigitsSettings
from papa.benchmark.tasks.digits.task import Digits
from papa.benchmark.tasks.fruits import FruitsSettings
from papa.benchmark.tasks.fruits import personal as shipped
from papa.benchmark.tasks.fruits.task import HASTY, Fruits
from papa.benchmark.tasks.idx import IMAGES, LABELS
from papa.benchmark.tasks.mnist import MnistSettings
from papa.benchmark.tasks.mnist.task import FashionMnist, real_images
from papa.errors import PapaError
from papa.rng import Stream
from recipes import digits, labelled, mnist, shared
from recipes.fruits import hasty, measure, ppd, recipe
from recipes.fruits.judging import contrastive
from recipes.mnist import SIGMA, BaseTraining, timesteps, train_base

DATA = artefacts.PACKAGE / "data"


class Stopped(Exception):
    """Stands for a kill."""


def quiet(line: str) -> None:
    """No progress."""


def stop(*args: object, **kwargs: object) -> None:
    raise Stopped


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Copies the artefacts of a task to a temporary folder that replaces the package's."""

    def copied(task: str) -> Path:
        return Path(shutil.copytree(DATA / task, tmp_path / "data" / task))

    (tmp_path / "data").mkdir()
    monkeypatch.setattr(artefacts, "PACKAGE", tmp_path)
    monkeypatch.setattr(labelled, "SAMPLES", 100)
    caches = (artefacts.verified_card, real_images, shipped.load)
    for cached in caches:
        cached.cache_clear()
    yield copied
    for cached in caches:
        cached.cache_clear()


def check(place: Path) -> None:
    """Nothing temporary is left, and the card has the sha256 of every file."""
    assert not list(place.parent.glob(".*"))
    card = artefacts.verified_card(place.name)
    assert shared.hashes(place) == card["sha256"] and card["figures"]
    readme = (place / "README.md").read_text(encoding="utf-8")
    assert all(digest in readme for digest in card["sha256"].values())


@pytest.mark.slow
def test_digits(home: Callable[[str], Path]) -> None:
    place, before = home("digits"), artefacts.verified_card("digits")
    digits.retrain(quiet, steps=2)
    check(place)
    made = artefacts.verified_card("digits")
    assert made["splits"] == before["splits"] and made["figures"]["fid_to_C"] > before["figures"]["fid_to_C"]
    Digits(DigitsSettings())


@pytest.mark.slow
def test_mnist_from_idx_files(home: Callable[[str], Path], tmp_path: Path) -> None:
    data = tmp_path / "idx"
    data.mkdir()
    images, labels = drawn(330)
    write_idx(data / f"train-{IMAGES}.gz", images)
    write_idx(data / f"train-{LABELS}.gz", labels)
    with pytest.raises(PapaError, match="--data FOLDER"):
        mnist.retrain(quiet, task="fashion_mnist", steps=2)
    mnist.retrain(quiet, task="fashion_mnist", steps=2, data=str(data))
    check(tmp_path / "data" / "fashion_mnist")
    task = FashionMnist(MnistSettings(steps=2))
    reference, truth = task.part("C")
    assert (task.judges()["held_out"].probabilities(reference).argmax(1) == truth).mean() > 0.9


def test_a_stopped_training_resumes_with_the_same_weights(tmp_path: Path) -> None:
    settings = BaseTraining(steps=4, batch=4, every=2)
    x = torch.from_numpy(Stream(1).normal(8, 1, 28, 28))
    whole = train_base(x, settings, Stream(0), None, quiet).state_dict()
    file = tmp_path / "checkpoint"
    with pytest.raises(Stopped):
        train_base(x, settings, Stream(0), file, lambda line: stop() if "step 4/" in line else None)
    again = train_base(x, settings, Stream(0), file, quiet).state_dict()
    assert all(torch.equal(again[name], weight) for name, weight in whole.items())
    with pytest.raises(PapaError):
        train_base(x, settings, Stream(0), file, quiet, data="other images")


def test_half_of_the_timesteps_follow_karras() -> None:
    t = timesteps(4000, Stream(3).generator())
    log_sigma = SIGMA.log()
    for low, high in ((-0.7, 0.3), (0.3, 1.3), (1.3, 2.3)):
        uniform = ((log_sigma > low) & (log_sigma <= high)).float().mean()
        about = stats.norm.cdf(high, 0.3, 1) - stats.norm.cdf(low, 0.3, 1)
        share = ((log_sigma[t] > low) & (log_sigma[t] <= high)).float().mean()
        assert float(share) == pytest.approx(0.5 * float(uniform) + 0.5 * about, abs=0.005)


@pytest.mark.slow
def test_fruits(home: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    few = {recipe: {"BLOCKS": 1, "BLOCK": 320, "HALF": 160}, measure: {"HELD_OUT": 64, "GENERIC": 96}}
    for module, values in few.items():
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)
    place = home("fruits")
    home(HASTY)
    before = artefacts.verified_card("fruits")["sha256"]
    with monkeypatch.context() as patch:
        patch.setattr(measure, "generic_figures", stop)
        with pytest.raises(Stopped):
            recipe.retrain(quiet, steps=2)
    assert "figures" not in artefacts.verified_card("fruits")
    monkeypatch.setattr(recipe, "train_diffusion", stop)  # finished, so not called again
    recipe.retrain(quiet, steps=2)
    check(place)
    assert artefacts.verified_card("fruits")["sha256"] != before
    Fruits(FruitsSettings())


@pytest.mark.slow
def test_ppd(home: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    few = {ppd: {"ENCODER_PICTURES": 160, "OF_GENERIC": 24, "OF_OTHER": 6}}
    few[population] = {"SEEN": 6, "UNSEEN": 2, "TUNING": 2}
    for module, values in few.items():
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)
    home("fruits")
    ppd.retrain(quiet, steps=2)
    check(tmp_path / "data" / "fruits_ppd")
    assert Fruits(FruitsSettings(steps=2)).model.personal is not None


def test_the_hasty_judge(home: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hasty, "HELD_OUT", 64)
    place = home(HASTY)
    hasty.retrain(quiet, steps=3)
    check(place)
    assert 0 <= artefacts.verified_card(HASTY)["figures"]["kind_accuracy"] < 0.8


def test_true_captions_do_not_compete() -> None:
    logits, true = torch.from_numpy(np.random.default_rng(0).normal(0, 3, (6, 6))), torch.eye(6, dtype=torch.bool)
    target = torch.arange(6)
    clip = (torch.nn.functional.cross_entropy(logits, target) + torch.nn.functional.cross_entropy(logits.T, target)) / 2
    assert contrastive(logits, true).item() == pytest.approx(clip.item())
    assert contrastive(torch.zeros(2, 2), torch.ones(2, 2, dtype=torch.bool)) == 0


def test_a_training_depends_on_its_stream_only() -> None:
    @shared.reproducible
    def training(n: int, stream: Stream) -> torch.Tensor:
        return torch.randn(n)

    before = torch.get_rng_state()
    first = training(4, Stream(1))
    assert torch.equal(before, torch.get_rng_state())
    torch.randn(3)
    assert torch.equal(first, training(4, stream=Stream(1))) and not torch.equal(first, training(4, Stream(2)))
