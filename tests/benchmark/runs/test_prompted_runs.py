"""Runs of a text-to-image task: samples for another prompt, and every step of a particle population."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import tiny
from support.fakes import Painted

from papa.benchmark.grid import Grid
from papa.benchmark.runs.align import align, open_session
from papa.benchmark.runs.base_samples import draw_base_samples
from papa.benchmark.runs.record import Meta, read_record
from papa.benchmark.runs.score import Scorer
from papa.benchmark.tasks import TASKS
from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.benchmark.users import KINDS, user_of
from papa.errors import PapaError
from papa.models.settings import PipelineSettings

APPLES, BANANAS = (0, 1), (2, 3)
METHODS: dict[str, Any] = {
    "base": {"labels": 4, "per_round": 2},
    "best_of_n": {"labels": 4, "per_round": 2, "surrogate": tiny.SMALL["surrogate"]},
    "fkc": {"labels": 6, "per_round": 2, "particles": 4, "diversity": True, "surrogate": tiny.SMALL["surrogate"]},
    "control": {"algorithm": "fkc", "labels": 2, "per_round": 2, "particles": 4, "reward": "true"},
}
MEASURES = tiny.MEASURES | {"retention": 6, "served": 4}


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_blocks: None) -> Grid:
    """Every method for a user who likes apples and for one who likes bananas."""
    monkeypatch.setitem(TASKS, "painted", "support.fakes:PAINTED")
    monkeypatch.setitem(KINDS, "fond", "support.fakes:FOND")
    return painted(tmp_path)


def painted(folder: Path, **measures: int) -> Grid:
    block = {"task": "painted", "methods": list(METHODS), "users": ["a", "b"], "seeds": [0]}
    return tiny.grid(folder, block, methods=METHODS, measures=MEASURES | measures)


def run(grid: Grid, method: str, user: str = "a") -> Path:
    """Align and score one run; its folder."""
    (spec,) = grid.select("painted", method, user)
    task = Painted(PipelineSettings())
    draw_base_samples(spec.base, task.model)
    align(spec, task, lambda text: None)
    Scorer(spec, task).score(spec)
    assert task.model.prompt == task.settings.prompt
    return spec.folder


def meta_of(folder: Path) -> Meta:
    return read_record(folder).meta


def method_of(grid: Grid, label: str) -> tuple[Painted, Any]:
    """The task and a method that has learned nothing yet."""
    (spec,) = grid.select("painted", label, "a")
    task = Painted(PipelineSettings())
    user = user_of(spec.who)
    user.calibrate(task)
    return task, open_session(spec, task, user.preference).method


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    if name == "metrics":
        return json.loads((folder / "metrics.json").read_text())["rows"]
    return list(csv.DictReader((folder / f"{name}.csv").read_text().splitlines()))


@pytest.mark.parametrize(
    ("likes", "kind"),
    [(APPLES, "banana"), (BANANAS, "apple"), ((0, 1, 2, 3), "pear"), ((0, 2, 4), "banana"), ((), "banana")],
)
def test_the_other_prompt_names_a_kind_that_the_user_is_not_after(likes: tuple[int, ...], kind: str) -> None:
    task = Painted(PipelineSettings())
    asked = tuple(i for i, concept in enumerate(task.concepts) if concept["kind"] == kind)
    article = "an" if kind == "apple" else "a"
    assert task.retention(likes) == (f"a photo of {article} {kind}", asked)


def test_who_likes_everything_or_has_no_classes_is_asked_for_nothing_else(plane: Gmm2d) -> None:
    task = Painted(PipelineSettings())
    assert task.retention((0, 1, 2, 3, 4, 5)) is None and task.retention(None) is None
    assert plane.retention((0,)) is None
    with pytest.raises(PapaError, match="does not support prompts"):
        plane.model.prompted("a photo of a banana")


@pytest.mark.parametrize("method", ["base", "best_of_n", "fkc"])
def test_every_method_is_asked_for_something_else_at_the_end(grid: Grid, method: str) -> None:
    folder = run(grid, method)
    images = read_record(folder).arrays()
    assert images["retention"].shape == (6, 3) and (images["retention"].argmax(1) == 1).all(), "bananas"
    assert (images["final"].argmax(1) != 1).any()
    found = {row["metric"]: row["value"] for row in rows(folder, "metrics")}
    assert found["retention_gold"] == found["retention_held_out"] == 1.0
    assert len({(row["metric"], row["stage"], row["round"]) for row in rows(folder, "metrics")}) == len(
        rows(folder, "metrics")
    )
    other = read_record(run(grid, method, "b")).arrays()["retention"]
    assert (other.argmax(1) == 0).all(), "who likes bananas gets apples asked for"


def test_what_is_drawn_for_another_prompt_costs_the_method_nothing(grid: Grid, tmp_path: Path) -> None:
    first = meta_of(run(grid, "fkc"))
    (tmp_path / "more").mkdir()
    second = meta_of(run(painted(tmp_path / "more", retention=7), "fkc"))
    assert (first.learning, first.total) == (second.learning, second.total) and first.key != second.key
    assert (first.seconds["retention_samples"] or 0) > 0


def test_under_another_prompt_base_samples_are_newly_sampled_from_the_same_noise(grid: Grid) -> None:
    task, method = method_of(grid, "base")
    own = method.sample(5)
    spent = method.cost.forward
    with task.model.prompted("a photo of a pear"):
        other = method.sample(5)
    # The same noise around another mean; the noise levels end before the mean is forgotten quite.
    shift = other - own
    assert torch.allclose(shift, shift[:1].expand_as(shift), atol=1e-4) and shift[0].argmax() == 2
    assert method.cost.forward == 2 * spent and torch.equal(method.sample(5), own)


def test_the_record_of_a_particle_method_has_every_step_of_every_population(grid: Grid) -> None:
    folder = run(grid, "fkc")
    trace = rows(folder, "trace")
    names = ["round", "step", "sigma", "beta", "ess", "lowest_ess", "unique_ancestors", "reward", "resampled", "gamma"]
    assert list(trace[0]) == names
    # Round 1 is the base's: nothing is tilted before the first labels.
    assert [(row["round"], row["step"]) for row in trace] == [(r, s) for r in ("2", "3", "final") for s in "1234"]
    assert "trace.csv" in meta_of(folder).files
    last = {row["round"]: row for row in trace if row["step"] == "4"}
    assert [float(last[r]["beta"]) for r in ("2", "3", "final")] == [0.5, 2.0, 2.0]
    assert [float(last[r]["gamma"]) for r in ("2", "3", "final")] == [0.05, 0.0, 0.0]
    by_round = {row["round"]: row for row in rows(folder, "rounds")}
    assert float(last["3"]["ess"]) == float(by_round["3"]["ess"]), "of what was shown, not of samples for the curves"
    final = {row["metric"]: row["value"] for row in rows(folder, "metrics") if row["stage"] == "final"}
    assert final["ess"] == float(last["final"]["ess"]) and final["ess"] <= 4


def test_samples_are_dealt_out_from_the_populations_in_turn(grid: Grid) -> None:
    _, method = method_of(grid, "control")
    whole = method.population(3, True, method.stream.at("sample")).samples.view(3, 4, 3)
    samples = method.sample(12)
    for population in range(3):
        drawn, own = samples[population::3], whole[population]
        assert torch.equal(drawn.sort(0).values, own.sort(0).values), "the same particles, in another order"
    assert not all(torch.equal(samples[p::3], whole[p]) for p in range(3))
    assert torch.equal(samples[:10], method.sample(10)) and np.isfinite(samples.numpy()).all()
