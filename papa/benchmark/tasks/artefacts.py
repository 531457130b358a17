"""Shipped artefacts: weights as package data, each with the sha256 that its model card states."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from papa.benchmark.runs.key import PACKAGE, read_card
from papa.benchmark.tasks import TASKS, declaration
from papa.errors import ArtefactError
from papa.files import sha256


def folder(task: str) -> Path:
    """Where the artefacts of a task lie."""
    return PACKAGE / "data" / task


def retraining(name: str) -> str:
    """The script that makes the artefacts of a folder again: `fruits_ppd` is the part ppd of fruits."""
    for task in TASKS:
        part = name.removeprefix(f"{task}_")
        if part in (parts := declaration(task).parts):
            return f"python -m {parts[part]}"
    data = f" --task {name} --data FOLDER" if declaration(name).takes_data and not folder(name).is_dir() else ""
    return f"python -m {declaration(name).recipe}{data}"


@cache
def verified_card(task: str) -> dict[str, Any]:
    """The model card of a folder of artefacts, after checking every file that it names.

    Raises:  ArtefactError for a missing file or a wrong sha256.
    """
    card_file = folder(task) / "card.json"
    if task in TASKS and declaration(task).takes_data and not folder(task).is_dir():
        raise ArtefactError(
            f"the pictures of {task} are not shipped; make its artefacts from the folder of its IDX files with "
            f"`{retraining(task)}`."
        )
    if not card_file.is_file():
        raise ArtefactError(
            f"the model card {card_file} is missing; reinstall papa, or make the artefacts again with "
            f"`{retraining(task)}`."
        )
    card = read_card(card_file, task)
    for name, expected in card["sha256"].items():
        check(folder(task) / name, expected, task)
    return card


def check(file: Path, expected: str, task: str) -> None:
    """Check one file against its sha256.

    Raises:  ArtefactError that says how to get the file back.
    """

    def remedy() -> str:
        return (
            f"Restore it with `git checkout -- {file.name}` in its folder or by reinstalling papa; to make the "
            f"artefacts again, run `{retraining(task)}`."
        )

    if not file.is_file():
        raise ArtefactError(f"the weight file {file} is missing. {remedy()}")
    found = sha256(file)
    if found != expected:
        raise ArtefactError(
            f"the weight file {file} has sha256 {found[:16]}..., its model card says {expected[:16]}.... "
            f"The file is damaged or of another training. {remedy()}"
        )
