"""What is missing, and about how long it takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import tiny
from support.command_line import Papa

from papa.benchmark import doctor
from papa.benchmark.grid import load

ROOT = Path(__file__).parents[2]
DEFAULT = load(ROOT / "config.yaml")


def test_evaluations_by_hand() -> None:
    [papa] = DEFAULT.select("digits", "papa", "likes-1479", [0])
    samples = 80 + 512 + 32 + 9 * 32  # asked, final, served, the curve
    assert doctor.evaluations(papa) == samples * 12 + 4 * 10 * 8 * 20 * 5
    assert doctor.evaluations(papa.base) == 4096 * 12
    [best] = DEFAULT.select("fruits", "best_of_4", "apple", [0])
    assert doctor.evaluations(best) == (80 + 256 + 32 + 9 * 16) * 10 * 2  # guided


def test_an_estimate_adds_runs_base_samples_and_starts_and_names_what_was_never_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {"gmm2d/base": 2.0, "gmm2d/fkc": 10.0, "gmm2d/base samples": 1.0}
    monkeypatch.setattr(doctor, "recorded", lambda: {"calibration": 1.0, "start": 600.0, "per_thousand": kinds})
    monkeypatch.setattr(doctor, "calibrate", lambda: 2.0)
    grid = tiny.grid(tmp_path)
    assert doctor.missing_runs(grid, 2).startswith("4 of 4 runs missing, about 20 minutes on 2 cores")
    assert "about 1 minute on 100 cores" in doctor.estimate(list(grid), 100)
    del kinds["gmm2d/fkc"]
    assert "without gmm2d/fkc" in doctor.estimate(list(grid), 1)


def test_every_kind_of_run_of_the_default_experiment_was_timed() -> None:
    kinds = {doctor.kind(spec) for spec in DEFAULT} | {doctor.kind(spec.base) for spec in DEFAULT}
    assert kinds <= set(doctor.recorded()["per_thousand"]) and 1e-5 < doctor.calibrate() < 10


def test_the_doctor_finds_problems_before_anything_starts(
    tmp_path: Path, papa: Papa, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from papa.benchmark.tasks import artefacts
    from papa.errors import ArtefactError

    path = tiny.write(tmp_path, tiny.config(tmp_path, tiny.DIGITS))
    assert papa("doctor", "--config", path)[0] == 0

    def damaged(name: str) -> None:
        raise ArtefactError(f"the weight file of {name} is missing.")

    monkeypatch.setattr(artefacts, "verified_card", damaged)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    code, said = papa("doctor", "--config", path, "--override", f'{{"results": "{tmp_path}/link/results"}}')
    assert code == 2 and "2 problem(s)" in said
