"""The digits task: its data, its artefacts, and runs that do not depend on how they are grouped."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import tiny
from support.command_line import state_of

from papa import cli
from papa.benchmark.grid import Grid
from papa.benchmark.runs.align import align
from papa.benchmark.runs.base_samples import draw_base_samples, reader
from papa.benchmark.runs.record import read_record
from papa.benchmark.runs.score import Scorer
from papa.benchmark.tasks.digits import DigitsSettings
from papa.benchmark.tasks.digits.task import Digits
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.models.base_samples import block_of_base
from papa.rng import Stream

PARTS = ("A", "B", "C")


# ---------------------------------------------------------------- data


def test_the_parts_are_disjoint_and_complete(digits: Digits) -> None:
    parts = [set(digits.card["splits"][name]) for name in PARTS]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 1797 and set.union(*parts) == set(range(1797))


def test_the_references_are_part_c_and_the_floor_is_drawn_from_the_rest(digits: Digits) -> None:
    references, (others, labels) = digits.references(), digits.other_real_images()
    assert torch.equal(references.images, digits.part("C")[0])
    assert len(others) == len(labels) == 1797 - len(references.images)
    assert references.features(references.images[:5]).shape == (5, references.feature_dim)


def test_stored_images_come_back(digits: Digits) -> None:
    stored = np.arange(256, dtype=np.uint8).reshape(4, 1, 8, 8)
    np.testing.assert_array_equal(digits.model.pack(digits.model.unpack(stored)), stored)
    latents = torch.from_numpy(Stream(0).normal(6, 1, 8, 8)).clamp(-1, 1)
    images = digits.model.decode(latents)
    packed = digits.model.pack(images)
    assert packed.dtype == np.uint8 and (digits.model.unpack(packed) - images).abs().max() <= 0.5 / 127.5 + 1e-6
    assert digits.model.pack(torch.tensor([[[[-3.0, 3.0]]]])).tolist() == [[[[0, 255]]]]


# ---------------------------------------------------------------- artefacts and their card


def test_the_card_states_the_judges_accuracies(digits: Digits) -> None:
    (images, labels), figures = digits.part("C"), digits.card["figures"]
    for name in ("gold", "held_out"):
        accuracy = float((digits.judges()[name].probabilities(images).argmax(1) == labels).mean())
        assert accuracy == pytest.approx(figures[f"{name}_accuracy"], abs=0.002) and accuracy > 0.97


# ---------------------------------------------------------------- the base model


def test_the_base_likes_the_papers_user_as_often_as_stated() -> None:
    task = Digits(DigitsSettings())
    noise = stream_noise(Stream(0), (256, *task.model.shape))
    samples = euler_ancestral(task.model.denoiser(Cost()), task.model.sigmas(), noise)
    decided = task.judges()["gold"].probabilities(samples).argmax(1)
    assert 0.3 <= np.isin(decided, (1, 4, 7, 9)).mean() <= 0.45
    assert (np.bincount(decided, minlength=10) >= 8).all()  # every digit is drawn
    agreement = (task.judges()["held_out"].probabilities(samples).argmax(1) == decided).mean()
    assert agreement > 0.93


def test_chunks_change_the_last_bits_at_most(digits: Digits) -> None:
    y = torch.from_numpy(Stream(0).normal(10, 1, 8, 8)) * 3
    whole = digits.model.denoiser(Cost())(y, 3.0)
    parts = Digits(DigitsSettings(steps=3, chunk=3)).model.denoiser(Cost())(y, 3.0)
    assert torch.allclose(whole, parts, atol=1e-5)


# ---------------------------------------------------------------- base samples


@pytest.mark.usefixtures("small_blocks")
def test_base_samples_are_shared_stored_and_extended(tmp_path: Path, digits: Digits) -> None:
    grid = tiny.grid(tmp_path, tiny.DIGITS)
    spec = grid.base("digits", 0)
    first = reader(spec, digits.model)
    assert first(16).shape == (16, 1, 8, 8)  # made where missing
    stored = read_record(spec.folder, spec.key).verify().arrays()["images"]
    np.testing.assert_array_equal(stored, digits.model.pack(first(16)))
    beyond = first(40)
    assert torch.equal(beyond[:16], first(16)) and len(beyond.unique(dim=0)) == 40
    stream = Stream(grid.config.root_seed).at("digits", seed=0)
    assert torch.equal(beyond[16:32], block_of_base(digits.model, stream, 1, Cost()))


@pytest.mark.usefixtures("small_blocks")
def test_more_base_samples_leave_the_first_ones_as_they_are(tmp_path: Path, digits: Digits) -> None:
    few = tiny.grid(tmp_path, tiny.DIGITS)
    draw_base_samples(few.base("digits", 0), digits.model)
    one = read_record(few.base("digits", 0).folder).arrays("latents.npz")["latents"]
    measures = tiny.MEASURES | {"base": 40}
    many = tiny.grid(tmp_path, tiny.DIGITS, measures=measures)
    draw_base_samples(many.base("digits", 0), digits.model)
    two = read_record(many.base("digits", 0).folder).arrays("latents.npz")["latents"]
    assert one.shape[0] == 16 and two.shape[0] == 40
    np.testing.assert_array_equal(two[:16], one)


# ---------------------------------------------------------------- grouping and order

TIMED = {"seconds", "peak_memory"}
"""Figures that are measured by the clock or by the machine."""


def everything(grid: Grid) -> dict[str, Any]:
    """Samples, feedback, diagnostics and figures of every run, without what the clock measured."""
    found: dict[str, Any] = {}
    for (_, method, _, seed), spec in sorted(grid.specs.items()):
        name = f"{method}/{seed}"
        record = read_record(spec.folder, spec.key).verify()
        for stage, images in record.arrays().items():
            found[f"{name}/{stage}"] = images.tolist()
        found[f"{name}/feedback"] = (spec.folder / "feedback.jsonl").read_text()
        rows = json.loads((spec.folder / "metrics.json").read_text())["rows"]
        found[f"{name}/metrics"] = [repr(row) for row in rows if row["metric"] not in TIMED]
        meta = record.meta
        found[f"{name}/meta"] = [meta.key, meta.status, meta.labels, meta.learning, meta.total]
    return found


def quiet(line: str) -> None:
    pass


def run(folder: Path, order: Callable[[list], list], task: Digits) -> Grid:
    """All runs of the tiny digits grid in this process, one after another in some order."""
    grid = tiny.grid(folder, tiny.DIGITS)
    specs = order(list(grid))
    for spec in specs:
        align(spec, task, quiet)
    for spec in specs:
        Scorer(spec, task).score(spec)
    return grid


ELSEWHERE = """
import sys
import torch
from papa import cli
from papa.models import base_samples
base_samples.BLOCK = 16
assert cli.main(["base", "--config", {path!r}, "--task", "digits", "--seeds", "{seed}"]) == 0
for method in {methods!r}:
    axes = ["--task", "digits", "--method", method, "--user", "likes-1479", "--seeds", "{seed}"]
    assert cli.main(["align", "--config", {path!r}, *axes]) == 0
assert torch.get_num_threads() == 1
"""


@pytest.mark.slow
@pytest.mark.usefixtures("small_blocks")
def test_numbers_do_not_depend_on_grouping_order_or_process(tmp_path: Path, digits: Digits) -> None:
    folders = [tmp_path / name for name in ("forward", "backward", "apart")]
    for place in folders:
        place.mkdir()
    forward = everything(run(folders[0], list, digits))
    assert len(forward) > 20
    first = [forward[f"{method}/0/shown"][:2] for method in ("base", "papa", "fkc")]
    assert first[0] == first[1] == first[2], "the first round shows base samples: comparisons are paired"
    assert everything(run(folders[1], lambda specs: specs[::-1], digits)) == forward

    # Seed 1 in a process of its own through the command line, seed 0 in this one, methods in another order.
    grid = tiny.grid(folders[2], tiny.DIGITS)
    path = str(folders[2] / "config.yaml")
    code = ELSEWHERE.format(methods=tiny.DIGITS["methods"][::-1], seed=1, path=path)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    specs = [spec for spec in grid if spec.seed == 0]
    for spec in specs:
        align(spec, digits, quiet)
    for spec in specs:
        Scorer(spec, digits).score(spec)
    assert everything(grid) == forward
    before = state_of(folders[0] / "results")
    path = str(folders[0] / "config.yaml")
    for method in tiny.DIGITS["methods"]:
        axes = ["--config", path, "--task", "digits", "--method", method, "--user", "likes-1479"]
        assert cli.main(["align", *axes]) == 0
    assert state_of(folders[0] / "results") == before, "a finished run is not made again"
