"""Seeding, staging folders and model cards.

A script trains in a staging folder, which replaces the shipped one; quality is measured on the installed files.
"""

from __future__ import annotations

import argparse
import functools
import inspect
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from torch import Tensor

from papa.benchmark.tasks.artefacts import folder, verified_card
from papa.files import sha256 as file_sha256
from papa.files import write_atomic

Log = Callable[[str], None]
P = ParamSpec("P")
R = TypeVar("R")

NOT_HASHED = ("card.json", "README.md", "samples.png")


def reproducible(training: Callable[P, R]) -> Callable[P, R]:
    """Seed initial weights and dropout of a training from its argument `stream`."""
    signature = inspect.signature(training)

    @functools.wraps(training)
    def trained(*args: P.args, **kwargs: P.kwargs) -> R:
        with signature.bind(*args, **kwargs).arguments["stream"].at("init").seeding_torch():
            return training(*args, **kwargs)

    return trained


def main(retrain: Callable[..., None], description: str | None) -> None:
    """Command line of a script without options of its own."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, help="training steps of every network, for a trial run")
    retrain(print, steps=parser.parse_args().steps)


def half(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights in float16: half the size, without effect on the decisions of the judges."""
    return {name: value.half().contiguous() if value.is_floating_point() else value for name, value in weights.items()}


def staging(name: str, steps: int | None) -> Path:
    """The folder in which artefacts are made; a trial with fewer steps has its own."""
    place = folder(name).with_name(f".{name}.new" + (f"-{steps}" if steps else ""))
    place.mkdir(parents=True, exist_ok=True)
    return place


def hashes(home: Path) -> dict[str, str]:
    """sha256 of every artefact in a folder, by relative path; hidden files are skipped."""
    files = (p for p in sorted(home.rglob("*")) if p.is_file() and p.name not in NOT_HASHED and p.suffix != ".tmp")
    return {str(p.relative_to(home)): file_sha256(p) for p in files if not p.name.startswith(".")}


def write_card(home: Path, card: dict[str, Any]) -> None:
    """Write `card.json`, each entry on one line, and `README.md` from it."""
    write_atomic(home / "README.md", readme(card))
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in card.items()]
    write_atomic(home / "card.json", "{\n" + ",\n".join(lines) + "\n}\n")
    verified_card.cache_clear()


def readme(card: dict[str, Any]) -> str:
    """A model card as Markdown."""
    about, figures = card["about"], card.get("figures", {})
    lines = [f"# Model card: {card['name']}", "", f"Made by `{about['command']}`; generated from `card.json`.", ""]
    lines += [f"* **{head}.** {text}" for head, text in about.items() if head != "command"]
    for title, values in (("training", card["recipe"]), ("measured", figures), ("sha256", card["sha256"])):
        rows = [f"| {name} | {value} |" for name, value in flattened(values)]
        lines += ["", f"| {title} | |", "|:--|:--|", *rows] if rows else []
    return "\n".join(lines) + "\n"


def flattened(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Path and value of every scalar or list of scalars."""
    for key, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = {str(index): entry for index, entry in enumerate(value, 1)}
        if isinstance(value, dict):
            yield from ((f"{key}: {name}", inner) for name, inner in flattened(value))
        else:
            yield str(key), f"{value:.4g}" if isinstance(value, float) else value


def only_figures_missing(name: str) -> bool:
    """Whether a script was stopped between installing the artefacts and measuring them."""
    card = folder(name) / "card.json"
    return card.is_file() and '"figures"' not in card.read_text(encoding="utf-8")


def install(new: Path, name: str) -> None:
    """Replace the shipped artefacts by new ones."""
    for hidden in new.glob(".*"):
        hidden.unlink()
    home = folder(name)
    old = home.with_name(f".{home.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if home.exists():
        home.rename(old)
    new.rename(home)
    shutil.rmtree(old, ignore_errors=True)
    verified_card.cache_clear()
