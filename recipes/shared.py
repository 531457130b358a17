"""What the recipes of shipped artefacts share: seeding, and a folder that is whole or not there at all.

Everything is made in a folder beside the shipped one, with a model card that names every file's sha256, and
takes its place in one move. Quality is measured after that, so the values are those of what users load.
"""

from __future__ import annotations

import functools
import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from papa.benchmark.tasks.artefacts import folder, verified_card
from papa.files import sha256 as file_sha256
from papa.files import write_atomic

Log = Callable[[str], None]
P = ParamSpec("P")
R = TypeVar("R")

NO_ARTEFACT = ("card.json", "README.md", "samples.png")
"""What the card does not hash: itself and what is made from it."""


def reproducible(training: Callable[P, R]) -> Callable[P, R]:
    """Let initial weights and dropout of a training come from its argument `stream`, as everything random does."""
    signature = inspect.signature(training)

    @functools.wraps(training)
    def trained(*args: P.args, **kwargs: P.kwargs) -> R:
        with signature.bind(*args, **kwargs).arguments["stream"].at("init").seeding_torch():
            return training(*args, **kwargs)

    return trained


def staging(task: str, steps: int | None) -> Path:
    """The folder in which the artefacts of a task are made; a trial with fewer steps has another one."""
    home = folder(task)
    return home.with_name(f".{home.name}.new" + (f"-{steps}" if steps else ""))


def hashes(home: Path) -> dict[str, str]:
    """sha256 of every artefact in a folder, by its path in there; hidden files are none."""
    files = (p for p in sorted(home.rglob("*")) if p.is_file() and p.name not in NO_ARTEFACT and p.suffix != ".tmp")
    return {str(p.relative_to(home)): file_sha256(p) for p in files if not p.name.startswith(".")}


def write_card(home: Path, card: dict[str, Any]) -> None:
    """`card.json`, each entry on one line."""
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in card.items()]
    write_atomic(home / "card.json", "{\n" + ",\n".join(lines) + "\n}\n")
    verified_card.cache_clear()


def only_figures_missing(task: str) -> bool:
    """Whether a recipe was stopped after its trainings: its artefacts are in place, their card has no values."""
    card = folder(task) / "card.json"
    return card.is_file() and '"figures"' not in card.read_text(encoding="utf-8")


def install(new: Path, task: str) -> None:
    """Put the new artefacts of a task in the place of the shipped ones."""
    home = folder(task)
    old = home.with_name(f".{home.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if home.exists():
        home.rename(old)
    new.rename(home)
    shutil.rmtree(old, ignore_errors=True)
    verified_card.cache_clear()
