"""The recipe of `mnist` and `fashion_mnist`, from a folder of IDX files to a task, with two training steps."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy import stats
from support.tiny_mnist import drawn
from torch import nn

from papa.benchmark.tasks import artefacts
from papa.benchmark.tasks.idx import IMAGES, LABELS, write
from papa.benchmark.tasks.mnist import MnistSettings
from papa.benchmark.tasks.mnist import task as tasks
from papa.benchmark.tasks.mnist.task import FashionMnist, pictures
from papa.cli import main
from papa.errors import ArtefactError, PapaError
from papa.rng import Stream
from recipes import labelled_card
from recipes.mnist import recipe
from recipes.mnist.base import SIGMA, BaseTraining, new_unet, timesteps, train_base, weight
from recipes.mnist.copies import copies

COUNT = 330


def quiet(_: str) -> None:
    pass


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Pictures of ten classes."""
    images, labels = drawn(COUNT)
    folder = tmp_path / "idx"
    folder.mkdir()
    write(folder / f"train-{IMAGES}.gz", images)
    write(folder / f"train-{LABELS}.gz", labels)
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where artefacts lie, empty."""
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(artefacts, "PACKAGE", tmp_path)
    monkeypatch.setattr(labelled_card, "SAMPLES", 100)
    for cached in (artefacts.verified_card, pictures):
        cached.cache_clear()
    yield tmp_path / "data"
    for cached in (artefacts.verified_card, pictures):
        cached.cache_clear()


def test_from_a_folder_of_files_to_a_task(data: Path, home: Path) -> None:
    recipe.retrain(quiet, steps=2, task="fashion_mnist", data=str(data))
    place = home / "fashion_mnist"
    assert {file.name for file in place.glob("*.gz")} == {f"train-{IMAGES}.gz", f"train-{LABELS}.gz"}
    assert not list(home.glob(".*")) and not list(place.glob(".*"))
    card = artefacts.verified_card("fashion_mnist")
    assert set(card["figures"]) >= {"fid_to_C", "fid_floor", "gold_accuracy", "judges_agree_on_samples"}
    said = (place / "README.md").read_text(encoding="utf-8")
    assert "Model card: fashion_mnist" in said and "MIT licence" in said and card["sha256"]["gold.safetensors"] in said

    task = FashionMnist(MnistSettings(steps=2))
    assert task.model.shape == (1, 28, 28)
    parts = [set(card["splits"][name]) for name in "ABC"]
    assert set.union(*parts) == set(range(COUNT)) and sum(map(len, parts)) == COUNT
    images, labels = task.part("C")
    for judge in task.judges().values():
        said_so = judge.probabilities(images)
        assert said_so.shape == (len(images), 10) and said_so.sum(1) == pytest.approx(1)
    assert (task.judges()["held_out"].probabilities(images).argmax(1) == labels).mean() > 0.9
    assert task.references().features(images[:3]).shape == (3, task.references().feature_dim)

    recipe.retrain(quiet, steps=2, task="fashion_mnist")  # from the files that it has now
    assert artefacts.verified_card("fashion_mnist")["sha256"] == card["sha256"]


def test_onwards_trains_the_base_model_of_a_task_further(data: Path, home: Path) -> None:
    with pytest.raises(ArtefactError):
        recipe.retrain(quiet, steps=2, task="fashion_mnist", onwards=True)
    recipe.retrain(quiet, steps=2, task="fashion_mnist", data=str(data))
    first = artefacts.verified_card("fashion_mnist")
    recipe.retrain(quiet, steps=3, task="fashion_mnist", onwards=True)
    second = artefacts.verified_card("fashion_mnist")
    assert second["recipe"] == first["recipe"] | {
        "steps": 3,
        "every": 3,
        "lr": first["recipe"]["lr"] / 2,
        "before": first["recipe"],
    }
    assert second["splits"] == first["splits"]
    changed = {name for name, digest in second["sha256"].items() if first["sha256"][name] != digest}
    assert changed == {"unet/diffusion_pytorch_model.safetensors"}
    said = " ".join((home / "fashion_mnist" / "README.md").read_text(encoding="utf-8").split())
    assert "2 steps at a learning rate of 0.002, then 3 at 0.001; seed" in said
    again: list[str] = []
    recipe.retrain(again.append, steps=2, task="fashion_mnist", onwards=True)
    assert again[0] == "base model: 2 steps more, after 5"
    assert recipe.all_steps(artefacts.verified_card("fashion_mnist")["recipe"]) == 7
    said = " ".join((home / "fashion_mnist" / "README.md").read_text(encoding="utf-8").split())
    assert "2 steps at a learning rate of 0.002, then 3 at 0.001, then 2 at 0.001; seed" in said
    assert said.count("--retrain --onwards --steps 3` and then `papa prepare --task fashion_mnist --retrain --on") == 1
    for given in ({"data": str(data)}, {"size": "paper"}, {"download": True}):
        with pytest.raises(PapaError, match="leave --data, --download and --size out"):
            recipe.retrain(quiet, steps=2, task="fashion_mnist", onwards=True, **cast(dict[str, Any], given))


def stopped_at(word: str) -> Callable[[str], None]:
    """A log that stops a recipe at the line with this word, as a kill would."""

    def log(line: str) -> None:
        if word in line:
            raise KeyboardInterrupt

    return log


def test_a_folder_of_one_training_is_not_gone_on_with_by_another(data: Path, home: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        recipe.retrain(stopped_at("features: training"), steps=2, task="fashion_mnist", data=str(data))
    place = home / ".fashion_mnist.new-2"
    gold = (place / "gold.safetensors").read_bytes()
    other = home.parent / "other"
    shutil.copytree(data, other)
    images, labels = drawn(COUNT, seed=1)
    write(other / f"train-{IMAGES}.gz", images)
    write(other / f"train-{LABELS}.gz", labels)
    for given in ({"data": str(other)}, {"data": str(data), "precision": "bfloat16"}):
        with pytest.raises(PapaError, match=rf"in {place} a training was stopped .* delete that folder"):
            recipe.retrain(quiet, steps=2, task="fashion_mnist", **cast(dict[str, Any], given))
    assert (place / "gold.safetensors").read_bytes() == gold
    recipe.retrain(quiet, steps=2, task="fashion_mnist", data=str(data))
    assert (home / "fashion_mnist" / "gold.safetensors").read_bytes() == gold and not place.exists()
    assert not [name for name in artefacts.verified_card("fashion_mnist")["sha256"] if name.startswith(".")]


def test_what_was_made_and_not_measured_is_measured_alone(
    data: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(onwards: bool, **given: Any) -> list[str]:
        said: list[str] = []
        recipe.retrain(said.append, steps=2, task="fashion_mnist", onwards=onwards, **given)
        return said

    def unmeasured(onwards: bool, **given: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(labelled_card, "measured", lambda *_: stopped_at("")(""))
            with pytest.raises(KeyboardInterrupt):
                asked(onwards, **given)
        assert "figures" not in artefacts.read_card(home / "fashion_mnist" / "card.json", "fashion_mnist")

    unmeasured(False, data=str(data))
    (home / "fashion_mnist").rename(home / ".fashion_mnist.new-2")  # stopped while it took its place
    said = asked(False, data=str(data))
    assert said[0] == "fashion_mnist: everything is made; the figures are missing" and len(said) == 2
    unmeasured(False)
    assert asked(True)[0] == "base model: 2 steps more, after 2"  # another thing is made, measured or not
    unmeasured(True)
    assert asked(True)[0] == "fashion_mnist: everything is made; the figures are missing"
    assert recipe.all_steps(artefacts.verified_card("fashion_mnist")["recipe"]) == 6


@pytest.mark.parametrize("options", [("--onwards",), ("--steps", "3"), ("--data", "folder")])
def test_options_of_a_training_without_one_are_refused(
    options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", "--task", "mnist", *options]) != 0
    assert f"{options[0]} says how to train; give --retrain as well." in capsys.readouterr().err


def test_no_steps_are_no_training(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["prepare", "--task", "mnist", "--retrain", "--steps", "0"])
    assert "0 is not 1 or more" in capsys.readouterr().err


def test_training_further_begins_with_the_given_network() -> None:
    x = torch.from_numpy(Stream(1).normal(8, 1, 28, 28))
    start = new_unet("small")
    before = {name: value.clone() for name, value in start.state_dict().items()}
    after = train_base(x, BaseTraining(steps=1, batch=4, lr=1e-6), Stream(0), None, quiet, start=start).state_dict()
    apart = max(float((after[name] - value).abs().max()) for name, value in before.items())
    assert 0 < apart < 2e-6


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_share_a_batch_and_its_gradient_is_that_of_one(threads: int) -> None:
    net, x = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1)), torch.randn(7, 5)
    seen: list[int] = []

    def losses(net: nn.Module, rows: slice) -> torch.Tensor:
        seen.append(len(x[rows]))
        return net(x[rows]).squeeze(1) ** 2

    whole = (net(x) ** 2).mean()
    expected = torch.autograd.grad(whole, list(net.parameters()))
    had = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with copies(net, 7) as shared:
            with torch.no_grad():
                for p in shared.nets[1].parameters():
                    p.zero_()  # whatever a copy had, it takes the network's weights
            said = shared.mean_gradient(losses, 7)
            assert torch.get_num_threads() == 1 and len(shared.nets) == threads
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(had)
    assert sum(seen) == 7 and len(seen) == threads
    assert said == pytest.approx(whole.item(), rel=1e-6)
    for parameter, value in zip(net.parameters(), expected, strict=True):
        assert torch.allclose(cast(torch.Tensor, parameter.grad), value, atol=1e-6)


def test_a_training_that_was_stopped_goes_on_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = BaseTraining(steps=4, batch=4, every=2)
    x = torch.from_numpy(Stream(1).normal(8, 1, 28, 28))
    whole = train_base(x, settings, Stream(0), None, quiet).state_dict()
    file, said = tmp_path / "checkpoint", []

    class Stopped(Exception):
        pass

    def stop(line: str) -> None:
        said.append(line)
        if "step 4/" in line:
            raise Stopped

    with pytest.raises(Stopped):
        train_base(x, settings, Stream(0), file, stop)
    again = train_base(x, settings, Stream(0), file, said.append).state_dict()
    assert "base model: going on after step 2" in said
    assert all(torch.equal(again[name], weight) for name, weight in whole.items())
    with pytest.raises(PapaError, match="of a training with other settings"):
        train_base(x, BaseTraining(steps=5, batch=4, every=2), Stream(0), file, quiet)


def test_half_of_the_timesteps_are_where_a_picture_is_decided() -> None:
    t = timesteps(4000, Stream(3).generator())
    assert t.min() >= 0 and t.max() <= 999 and t.dtype == torch.int64
    log_sigma = SIGMA.log()
    for low, high in ((-0.7, 0.3), (0.3, 1.3), (1.3, 2.3)):
        uniform = ((log_sigma > low) & (log_sigma <= high)).float().mean()
        about = stats.norm.cdf(high, 0.3, 1) - stats.norm.cdf(low, 0.3, 1)
        share = ((log_sigma[t] > low) & (log_sigma[t] <= high)).float().mean()
        assert float(share) == pytest.approx(0.5 * float(uniform) + 0.5 * about, abs=0.005)
    assert not torch.equal(t.sort().values, t)


def test_weights_follow_the_noise_level_up_to_the_largest() -> None:
    w = weight(torch.arange(1000))
    assert (w.diff() >= 0).all() and w.max() == 1 and w[0] == pytest.approx(0.1, abs=1e-3)
    known = int((SIGMA - 0.6).abs().argmin())  # where a pixel is as much noise as picture
    assert float(w[known]) == pytest.approx(0.2, abs=0.005)


def test_bfloat16_trains_weights_of_float32() -> None:
    x = torch.from_numpy(Stream(1).normal(8, 1, 28, 28))
    nets = [
        train_base(x, BaseTraining(steps=2, batch=4, precision=precision), Stream(0), None, quiet).state_dict()
        for precision in ("float32", "bfloat16")
    ]
    assert all(weight.dtype == torch.float32 for weight in nets[1].values())
    apart = [float((a - b).abs().max()) for a, b in zip(nets[0].values(), nets[1].values(), strict=True)]
    assert 0 < max(apart) < 0.05


def test_the_sizes_are_those_that_are_stated() -> None:
    small, paper = (sum(p.numel() for p in new_unet(size).parameters()) for size in ("small", "paper"))
    assert 1e6 <= small <= 2e6 and 9e6 <= paper <= 11e6


def test_bad_data(data: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PapaError, match=r"comes without data; give the folder .*--task fashion_mnist --retrain --data"):
        recipe.retrain(quiet, steps=2, task="fashion_mnist")
    with pytest.raises(PapaError, match="name it with --data"):
        recipe.retrain(quiet, steps=2, task="fashion_mnist", download=True)
    write(data / f"train-{IMAGES}.gz", np.zeros((COUNT, 14, 14), np.uint8))
    with pytest.raises(PapaError, match="has images of 14 x 14"):
        recipe.retrain(quiet, steps=2, task="fashion_mnist", data=str(data))
    assert not (home / "fashion_mnist").exists()
    with pytest.raises(ArtefactError, match="papa prepare --task fashion_mnist --retrain --data FOLDER"):
        FashionMnist(MnistSettings())

    class Unreachable:
        def __init__(self, root: str, download: bool) -> None:
            raise OSError("the network is unreachable")

    from torchvision import datasets

    monkeypatch.setattr(datasets, "FashionMNIST", Unreachable)
    with pytest.raises(PapaError, match=r"could not be fetched to .*unreachable.*Run the same command again"):
        recipe.retrain(quiet, steps=2, task="fashion_mnist", data=str(tmp_path / "new"), download=True)


def test_the_shipped_digits_are_mnists_test_digits() -> None:
    images, labels = pictures(artefacts.folder("mnist"))
    assert images.shape == (10000, 1, 28, 28) and images.min() == -1 and images.max() == 1
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert tasks.SIDE == 28
