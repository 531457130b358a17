"""Shipped artefacts: weights as package data, each with the sha256 that its model card states."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from papa.benchmark.runs.key import PACKAGE, read_card
from papa.benchmark.tasks import TASKS, declaration
from papa.errors import ArtefactError
from papa.files import sha256


def folder(name: str) -> Path:
    """A folder of artefacts."""
    return PACKAGE / "data" / name


@cache
def verified_card(name: str) -> dict[str, Any]:
    """The model card of a folder of artefacts; every file that it names is checked once per process.

    Raises:
        ArtefactError: for a missing file or a wrong sha256.
    """
    recipe = declaration(name).recipe if name in TASKS else None
    script = f"run `python -m {recipe}`" if recipe else "see recipes/"
    home = folder(name)
    if not (home / "card.json").is_file():
        raise ArtefactError(
            f"{home / 'card.json'} is missing: the artefacts of {name} were deleted, or are not shipped. Reinstall "
            f"papa, or make them: {script}."
        )
    card = read_card(home / "card.json", name)
    for file, expected in card["sha256"].items():
        remedy = f"Restore it with `git checkout -- {file}` in {home}, reinstall papa, or make it again: {script}."
        if not (home / file).is_file():
            raise ArtefactError(f"the weight file {home / file} is missing. {remedy}")
        if (found := sha256(home / file)) != expected:
            raise ArtefactError(
                f"the weight file {home / file} has sha256 {found[:16]}..., its model card says {expected[:16]}...: it "
                f"is damaged or of another training. {remedy}"
            )
    return card
