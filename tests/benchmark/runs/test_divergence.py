"""Divergence is data: a run that diverges ends with a record, and its scores say so."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import tiny
from torch import Tensor, nn

from papa.benchmark.runs.align import align
from papa.benchmark.runs.base_samples import draw_base_samples
from papa.benchmark.runs.record import read_record
from papa.benchmark.runs.score import Scorer
from papa.benchmark.tasks.digits.task import Digits


class BreaksAfter(nn.Module):
    """A network that returns NaN from some call on."""

    def __init__(self, net: nn.Module, calls: int) -> None:
        super().__init__()
        self.net, self.left = net, calls

    def forward(self, x: Tensor, t: Tensor) -> SimpleNamespace:
        self.left -= 1
        sample = self.net(x, t).sample
        return SimpleNamespace(sample=sample if self.left >= 0 else sample * float("nan"))


# The first round asks with 3 calls, trains with one, and then draws samples for the curves.
@pytest.mark.parametrize(("calls", "rounds", "word"), [(0, 0, "noise level"), (3, 0, "loss"), (4, 1, "noise level")])
@pytest.mark.usefixtures("small_blocks")
def test_a_nan_from_the_model_ends_the_run_as_diverged_with_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Digits, calls: int, rounds: int, word: str
) -> None:
    grid = tiny.grid(tmp_path, tiny.DIGITS)
    (spec,) = grid.select("digits", "papa", "likes-1479", [0])
    real = digits.model.network
    monkeypatch.setattr(digits.model, "network", lambda: BreaksAfter(real(), calls))
    said: list[str] = []
    align(spec, digits, said.append)
    record = read_record(spec.folder, spec.key).verify()
    assert record.meta.status == "diverged" and word in (record.meta.reason or "")
    assert any("diverged" in line for line in said)
    assert record.meta.labels == 2 * rounds
    assert len(record.rounds()) == rounds
    arrays = record.arrays()
    assert "final" not in arrays and all(np.isfinite(values).all() for values in arrays.values())

    monkeypatch.undo()
    draw_base_samples(spec.base, digits.model)
    Scorer(spec, digits).score(spec)
    measured = json.loads((spec.folder / "metrics.json").read_text())["rows"]
    rows = {(row["metric"], row["stage"]): row["value"] for row in measured}
    assert rows["diverged", "final"] == 1.0
    assert ("preference_gold", "final") not in rows


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("papa", {"lr": 1e6, "negatives": "published"}),
        ("fkc", {"surrogate": {"lr": 1e6, "epochs": 9, "channels": 8}}),
    ],
)
def test_a_learning_rate_that_blows_a_model_up_is_seen(
    tmp_path: Path, digits: Digits, name: str, given: dict[str, Any]
) -> None:
    """Without any broken part: runs that really diverge."""
    methods = tiny.config(tmp_path)["methods"]
    methods[name] |= given
    grid = tiny.grid(tmp_path, tiny.DIGITS, methods=methods)
    (spec,) = grid.select("digits", name, "likes-1479", [1])
    align(spec, digits, lambda line: None)
    meta = read_record(spec.folder, spec.key).meta
    assert meta.status == "diverged" and "lower" in (meta.reason or "")
