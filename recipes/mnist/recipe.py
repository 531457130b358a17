"""The recipe of the artefacts of `mnist` and `fashion_mnist`: splits, base model, gold judge, feature network.

`papa prepare --task mnist --retrain` trains on the 10,000 digits that are package data, some hours of two CPU threads;
with `--data FOLDER` on the IDX files of a folder, which become the task's. With `--onwards` the base model that the
task has is trained further, and all else stays as it is. A recipe that was stopped goes on from the last checkpoint of
its base model.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DModel
from safetensors.torch import save_file

from papa.benchmark.machine import pick_device
from papa.benchmark.tasks.artefacts import folder, verified_card
from papa.benchmark.tasks.idx import IMAGES, LABELS, PARTS
from papa.benchmark.tasks.mnist.task import FashionMnist, Mnist, pictures
from papa.errors import PapaError
from papa.files import forget_paths, sha256, write_atomic
from papa.rng import Stream
from papa.settings import validated
from recipes import labelled_card
from recipes.digits.recipe import split_indices, train_classifier
from recipes.mnist import card
from recipes.mnist.base import BaseTraining, new_scheduler, train_base
from recipes.shared import Log, hashes, install, only_figures_missing, staging

SEED = 2026
CHECKPOINT = ".base.checkpoint"
NOTE = ".asked.json"
"""What the artefacts in a folder are being made of, so that nothing else is mixed with them."""
UPDATES = 4000
"""Batches of 64 that a classifier learns from."""
TASKS = {task.name: task for task in (Mnist, FashionMnist)}


@dataclass(frozen=True)
class Asked:
    """What is to be trained. data: a folder of IDX files. before: the recipe of the base model that is trained further;
    None begins a new one."""

    task: str
    training: BaseTraining
    data: Path
    before: dict[str, Any] | None = None

    @property
    def stage(self) -> dict[str, Any]:
        """The recipe of what is trained now."""
        return {"seed": SEED, **self.training.model_dump()}

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe of the model in the end, which the card has."""
        return self.stage if self.before is None else self.stage | {"before": self.before}

    def idx_files(self) -> list[Path]:
        """The files of the data, gzipped or not."""
        names = [f"{part}-{kind}{suffix}" for part in PARTS for kind in (IMAGES, LABELS) for suffix in ("", ".gz")]
        return [file for name in names if (file := self.data / name).is_file()]

    def data_sha256(self) -> dict[str, str]:
        """sha256 of the files of the data, by their names."""
        return {file.name: sha256(file) for file in self.idx_files()}


def begun(place: Path, asked: Asked) -> None:
    """Begin to make artefacts in `place`, or go on there.

    Raises:  PapaError where something else was begun there.
    """
    start = None if asked.before is None else verified_card(asked.task)["sha256"]
    said = json.dumps({"recipe": asked.recipe, "data": asked.data_sha256(), "start": start}, sort_keys=True)
    note = place / NOTE
    known = note.read_text(encoding="utf-8") if note.is_file() else None
    if known != said and place.is_dir() and any(place.iterdir()):
        raise PapaError(
            f"in {place} a training was stopped that had other settings, other data or another model to begin with. "
            "Go on with it by its own command, or delete that folder."
        )
    write_atomic(note, said)


def take_data(place: Path, asked: Asked) -> None:
    """Copy the IDX files to a new folder of artefacts."""
    for file in asked.idx_files():
        shutil.copyfile(file, place / file.name)


def train(place: Path, asked: Asked, log: Log) -> dict[str, list[int]]:
    """Make every artefact in `place`, where the data lies; what is there already is kept.

    Returns: the split indices. The base model and the feature network are trained on parts A and B, the gold judge on
             part A; part C is the reference that nothing was fitted to.
    """
    task, (images, labels) = TASKS[asked.task], pictures(place)
    stream = Stream(SEED).at(asked.task, "recipe")
    parts = split_indices(labels, stream) if asked.before is None else verified_card(asked.task)["splits"]
    seen = sorted(parts["A"] + parts["B"])
    trial = asked.training.steps < BaseTraining().steps
    for name, new_net, chosen in (("gold", task.new_gold, parts["A"]), ("features", task.new_features, seen)):
        if not (place / f"{name}.safetensors").exists():
            log(f"{name}: training on {len(chosen)} images")
            epochs = 1 if trial else max(1, round(UPDATES * 64 / len(chosen)))
            net = train_classifier(new_net, images[chosen], torch.from_numpy(labels)[chosen], stream.at(name), epochs)
            half = {key: value.half().contiguous() for key, value in net.state_dict().items()}
            save_file(half, place / f"{name}.safetensors")
    device = pick_device("auto")
    start, numbers = None, stream.at("base")
    if asked.before is not None:
        start = UNet2DModel.from_pretrained(folder(asked.task) / "unet", torch_dtype=torch.float32)
        numbers = numbers.at(after=all_steps(asked.before))
    unet = train_base(images[seen], asked.training, numbers, place / CHECKPOINT, log, device, start)
    unet.half().save_pretrained(place / "unet")  # half the size, and the samples do not show it
    new_scheduler().save_pretrained(place / "scheduler")
    forget_paths(place)
    return parts


def all_steps(recipe: dict[str, Any]) -> int:
    """Training steps of a base model, those of every stage."""
    return recipe["steps"] + (all_steps(recipe["before"]) if "before" in recipe else 0)


def take_networks(place: Path, task: str) -> None:
    """Copy the gold judge and the feature network of a task, which stay what they are."""
    for name in ("gold", "features"):
        shutil.copyfile(folder(task) / f"{name}.safetensors", place / f"{name}.safetensors")


def lacks_figures_alone(asked: Asked) -> bool:
    """Whether what is asked was made and put in place, and then stopped before it was measured."""
    if not only_figures_missing(asked.task):
        return False
    card = verified_card(asked.task)
    recipe = dict(card["recipe"])
    same_start = (recipe.pop("before", None) is None) == (asked.before is None)
    return same_start and recipe == asked.stage and asked.data_sha256().items() <= card["sha256"].items()


def fetch(task: str, data: Path) -> Path:
    """Fetch the files of a task by torchvision, which checks them; returns their folder.

    Raises:  PapaError where that fails or was interrupted.
    """
    from torchvision import datasets

    dataset = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}[task]
    try:
        return Path(dataset(str(data), download=True).raw_folder)
    except (OSError, RuntimeError) as error:  # what torchvision raises for the network, the disk and a wrong checksum
        raise PapaError(
            f"the files of {task} could not be fetched to {data} ({error}). Run the same command again, or put the "
            "four IDX files into a folder by hand and leave --download out."
        ) from error


def retrain(
    log: Log,
    steps: int | None = None,
    task: str = "mnist",
    data: str | None = None,
    download: bool = False,
    size: str | None = None,
    precision: str = "float32",
    onwards: bool = False,
) -> None:
    """Train everything in a folder of its own, put it in the place of the task's artefacts, measure it.

    Args:    data: a folder of IDX files; None takes those that the task has. download: fetch them there first.
             onwards: train the base model of the task further, at half of a new one's learning rate, on its data.
    Raises:  PapaError for data that is missing, damaged or cannot be fetched, and for a base model to go on from that
             is missing or damaged.
    """
    new = staging(task, steps)
    if not folder(task).is_dir() and (new / "card.json").is_file():
        install(new, task)  # it was whole, and stopped while it took its place
    asked = _asked(steps, task, data, download, size, precision, onwards)
    if lacks_figures_alone(asked):
        log(f"{task}: everything is made; the figures are missing")
    else:
        begun(new, asked)
        take_data(new, asked)
        if asked.before is not None:
            log(f"base model: {asked.training.steps:,} steps more, after {all_steps(asked.before):,}")
            take_networks(new, task)
        parts = train(new, asked, log)
        labelled_card.begin(new, task, pictures(new)[0], parts, asked.recipe, hashes(new))
        for file in new.glob(".*"):
            file.unlink()
        install(new, task)
    card.finish(TASKS[task], Stream(SEED).at(task), log)


def _asked(
    steps: int | None, task: str, data: str | None, download: bool, size: str | None, precision: str, onwards: bool
) -> Asked:
    if onwards and (data is not None or size is not None or download):
        raise PapaError(
            "--onwards keeps the data and the size of the base model; leave --data, --download and --size out."
        )
    if download and data is None:
        raise PapaError("--download fetches the files to a folder; name it with --data.")
    given: dict[str, Any] = {"size": size or "small", "precision": precision}
    if steps is not None:
        given |= {"steps": steps, "every": min(steps, BaseTraining().every)}
    before = verified_card(task)["recipe"] if onwards else None
    if before is not None:
        given |= {"size": before["size"], "lr": BaseTraining().lr / 2}
    home = folder(task)
    if data is None and not home.is_dir():
        raise PapaError(
            f"{task} comes without data; give the folder of its IDX files: "
            f"`papa prepare --task {task} --retrain --data FOLDER`."
        )
    source = home if data is None else fetch(task, Path(data)) if download else Path(data)
    pictures(source)  # they are whole, before anything is made
    return Asked(task, validated(BaseTraining, given), source, before)
