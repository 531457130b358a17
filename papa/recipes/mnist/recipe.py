"""The recipe of the artefacts of `mnist` and `fashion_mnist`: splits, base model, gold judge, feature network.

`papa prepare --task mnist --retrain` trains on the 10,000 digits that are package data, some hours of two CPU threads;
with `--data FOLDER` on the IDX files of a folder, which become the task's. With `--onwards` the base model that the
task has is trained further, and all else stays as it is. A recipe that was stopped goes on from the last checkpoint of
its base model.
"""

from __future__ import annotations

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
from papa.files import forget_paths
from papa.recipes import labelled_card
from papa.recipes.digits.recipe import split_indices, train_classifier
from papa.recipes.mnist import card
from papa.recipes.mnist.base import BaseTraining, new_scheduler, train_base
from papa.recipes.shared import Log, hashes, install, only_figures_missing, staging
from papa.rng import Stream

SEED = 2026
CHECKPOINT = ".base.checkpoint"
UPDATES = 4000
"""Batches of 64 that a classifier learns from."""
TASKS = {task.name: task for task in (Mnist, FashionMnist)}


@dataclass(frozen=True)
class Asked:
    """What is to be trained. data: a folder of IDX files; None takes those that the task has. before: the recipe of the
    base model that is trained further; None begins a new one."""

    task: str
    training: BaseTraining
    data: Path | None = None
    before: dict[str, Any] | None = None

    @property
    def recipe(self) -> dict[str, Any]:
        """What the card says of it."""
        made = {"seed": SEED, **self.training.model_dump()}
        return made if self.before is None else made | {"before": self.before}


def take_data(place: Path, asked: Asked) -> None:
    """Copy the IDX files of a folder, or of the task, to a new folder of artefacts.

    Raises:  PapaError for files that are missing or damaged.
    """
    source = folder(asked.task) if asked.data is None else asked.data
    if asked.data is None and not source.is_dir():
        raise PapaError(
            f"{asked.task} comes without data; give the folder of its IDX files: "
            f"`papa prepare --task {asked.task} --retrain --data FOLDER`."
        )
    pictures(source)  # whole, before anything is copied
    for part in PARTS:
        for name in (f"{part}-{IMAGES}", f"{part}-{LABELS}"):
            for file in (source / name, source / f"{name}.gz"):
                if file.is_file():
                    shutil.copyfile(file, place / file.name)
                    break


def train(place: Path, asked: Asked, log: Log) -> dict[str, list[int]]:
    """Make every artefact in `place`, where the data lies; what is there already is kept.

    Returns: the split indices. The base model and the feature network are trained on parts A and B, the gold judge on
             part A; part C is the reference that nothing was fitted to.
    """
    task, (images, labels) = TASKS[asked.task], pictures(place)
    stream = Stream(SEED).at(asked.task, "recipe")
    parts = split_indices(labels, stream)
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
             onwards: train the base model of the task further, at half of its learning rate, on the data that it has.
    Raises:  PapaError for data that is missing, damaged or cannot be fetched, and for a base model to go on from that
             is missing or damaged.
    """
    if download and data is None:
        raise PapaError("--download fetches the files to a folder; name it with --data.")
    if onwards and (data is not None or size is not None):
        raise PapaError("--onwards keeps the data and the size of the base model; leave --data and --size out.")
    source = None if data is None else fetch(task, Path(data)) if download else Path(data)
    given = {"size": size or "small", "precision": precision} | (
        {} if steps is None else {"steps": steps, "every": min(steps, BaseTraining().every)}
    )
    before = verified_card(task)["recipe"] if onwards else None
    if before is not None:
        given |= {"size": before["size"], "lr": BaseTraining().lr / 2}
    asked = Asked(task, BaseTraining.model_validate(given), source, before)
    if source is not None or not only_figures_missing(task):
        new = staging(task, steps)
        new.mkdir(parents=True, exist_ok=True)
        take_data(new, asked)
        if onwards:
            take_networks(new, task)
        parts = train(new, asked, log)
        (new / CHECKPOINT).unlink()
        labelled_card.begin(new, task, pictures(new)[0], parts, asked.recipe, hashes(new))
        install(new, task)
    card.finish(TASKS[task], Stream(SEED).at(task), log)
