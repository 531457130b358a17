"""Artefacts of a task that are changed, missing or damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import tiny
from support.command_line import Papa, align

from papa.benchmark.runs import key as provenance
from papa.benchmark.tasks import artefacts


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the digits artefacts in the package's place."""
    package = tmp_path / "package"
    shutil.copytree(provenance.PACKAGE / "data" / "digits", package / "data" / "digits")
    monkeypatch.setattr(artefacts, "PACKAGE", package)
    artefacts.verified_card.cache_clear()
    yield package / "data" / "digits"
    artefacts.verified_card.cache_clear()


WEIGHTS = ["gold.safetensors", "features.safetensors", "unet/diffusion_pytorch_model.safetensors", "unet/config.json"]


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_wrong_sha256_of_a_weight_file(tmp_path: Path, data: Path, refused: Callable[..., str], name: str) -> None:
    contents = bytearray((data / name).read_bytes())
    contents[-1] ^= 1
    (data / name).write_bytes(contents)
    path = tiny.write(tmp_path, tiny.config(tmp_path, tiny.DIGITS))
    words = (name, "sha256", "model card", "reinstall papa", "python -m recipes.digits")
    refused("prepare", "--task", "digits", words=words)
    refused(*align(path, task="digits", user="likes-1479"), words=words)
    assert not (tmp_path / "results").exists()


def test_a_missing_weight_file(tmp_path: Path, data: Path, refused: Callable[..., str], papa: Papa) -> None:
    (data / "gold.safetensors").unlink()
    path = tiny.write(tmp_path, tiny.config(tmp_path, tiny.DIGITS))
    refused("prepare", "--task", "digits", words=("gold.safetensors is missing", "git checkout", "recipes.digits"))
    refused(*align(path, task="digits", user="likes-1479"), words=("gold.safetensors is missing",))
    assert papa("doctor", "--config", path)[0] != 0


@pytest.mark.parametrize("text", [None, "", '{"sha256": {'])
def test_a_missing_or_damaged_model_card(data: Path, refused: Callable[..., str], text: str | None) -> None:
    (data / "card.json").unlink()
    if text is not None:
        (data / "card.json").write_text(text)
    refused("prepare", "--task", "digits", words=("card.json",))


def test_sound_artefacts_pass(data: Path, papa: Papa) -> None:
    assert papa("prepare", "--task", "digits")[0] == 0
