"""What the hard users of `fruits` come with: the judge in haste and the base rates, from the command to the card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from papa.benchmark.runs import key as provenance
from papa.benchmark.tasks import artefacts
from papa.benchmark.tasks.fruits import FRUITS
from papa.benchmark.tasks.fruits.task import HASTY
from papa.cli import main
from recipes import shared
from recipes.fruits import card, hasty


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The artefacts of `fruits` in another place."""
    for name in ("fruits", HASTY):
        shutil.copytree(provenance.PACKAGE / "data" / name, tmp_path / "data" / name)
    monkeypatch.setattr(artefacts, "PACKAGE", tmp_path)
    artefacts.verified_card.cache_clear()
    yield tmp_path / "data"
    artefacts.verified_card.cache_clear()


def test_the_judge_in_haste_is_trained_measured_and_put_in_place(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hasty, "HELD_OUT", 64)
    before = (home / HASTY / "judge.safetensors").read_bytes()
    assert main(["prepare", "--task", "fruits", "--part", "hasty", "--retrain", "--steps", "3"]) == 0
    found = artefacts.verified_card(HASTY)
    assert found["recipe"]["steps"] == 3 and (home / HASTY / "judge.safetensors").read_bytes() != before
    assert shared.hashes(home / HASTY) == found["sha256"] and 0 <= found["figures"]["kind_accuracy"] < 0.8
    assert artefacts.retraining(HASTY) == "papa prepare --task fruits --part hasty --retrain"


def test_base_rates_are_measured_and_a_trial_writes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = home / "fruits" / "card.json"
    before = file.read_text(encoding="utf-8")
    assert main(["prepare", "--task", "fruits", "--part", "rates", "--retrain", "--steps", "16"]) == 0
    assert file.read_text(encoding="utf-8") == before
    monkeypatch.setattr(card, "RATED", 48)
    assert main(["prepare", "--task", "fruits", "--part", "rates", "--retrain"]) == 0
    found = json.loads(file.read_text(encoding="utf-8"))
    rates = found["figures"]["base_rates"]
    assert rates["samples"] == 48 and set(rates["users"]) == set(FRUITS.users)
    assert all(
        0 <= rate["lower"] <= rate["rate"] <= rate["upper"] <= 1 for rate in rates["users"].values() if "lower" in rate
    )
    assert "lower" not in rates["users"]["apple-graded"]
    assert found["sha256"] == json.loads(before)["sha256"]  # the weights stay
    assert "two-yellow-pears-on-brown" in (home / "fruits" / "README.md").read_text(encoding="utf-8")


def test_the_shipped_rates_are_a_ladder() -> None:
    rates = artefacts.verified_card("fruits")["figures"]["base_rates"]["users"]
    ladder = ["yellow", "two-yellow", "yellow-pear", "yellow-pear-on-gray", "two-yellow-pears-on-brown"]
    for label, about in zip(ladder, (0.3, 0.1, 0.03, 0.01, 0.003), strict=True):
        assert about / 1.5 < rates[label]["rate"] < about * 1.5
