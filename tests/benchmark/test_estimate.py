"""How long runs will take: work counted by hand, durations that are shipped for everything that is shipped."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from support import tiny

from papa.benchmark import estimate
from papa.benchmark.grid import Grid, load
from papa.benchmark.machine import processor

ROOT = Path(__file__).parents[2]
DEFAULT = load(ROOT / "config.yaml")
KINDS = {"gmm2d/base": 2.0, "gmm2d/fkc": 10.0, f"gmm2d/{estimate.BASE_SAMPLES}": 1.0}


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> estimate.Durations:
    """A machine like this one, on which a process starts in 5 s and a figure takes 3 s."""
    found = estimate.Durations("this one", 1.0, 5.0, 3.0, dict(KINDS))
    monkeypatch.setattr(estimate, "recorded", lambda: found)
    monkeypatch.setattr(estimate, "calibrate", lambda: 1.0)
    return found


@pytest.fixture
def plane(tmp_path: Path) -> Grid:
    return load(tiny.write(tmp_path, tiny.config(tmp_path)))


def test_work_by_hand() -> None:
    [papa] = DEFAULT.select("digits", "papa", "likes-1479", [0])
    drawn = 80 + 512 + 32 + 9 * 32  # asked, final, served, the curve
    assert estimate.evaluations(papa) == drawn * 12 + 4 * 10 * 8 * 20 * 5
    [epapa] = DEFAULT.select("digits", "epapa", "likes-1479", [0])
    assert estimate.evaluations(epapa) == pytest.approx(drawn * 12 + 0.6 * 4 * 10 * 8 * 20 * 5)
    [best] = load(ROOT / "config/full.yaml").select("fruits", "best_of_16", "apple", [0])
    assert estimate.evaluations(best) == (80 + 256 + 32 + 4 * 16 + 32 * 16) * 10 * 2  # guided, another prompt
    assert estimate.evaluations(papa.base) == 4096 * 12
    [published] = DEFAULT.select("digits", "papa-published", "likes-1479", [0])  # every one of 200 timesteps
    assert estimate.evaluations(published) == drawn * 12 + 4 * 10 * 8 * 1 * 200


def test_seconds_add_up_runs_base_samples_processes_and_figures(known: estimate.Durations, plane: Grid) -> None:
    runs = list(plane)
    work = sum(KINDS[estimate.kind(spec)] * estimate.evaluations(spec) / 1000 for spec in runs)
    bases = {spec.base.folder: spec.base for spec in runs}.values()
    work += sum(estimate.evaluations(base) / 1000 for base in bases)
    assert estimate.seconds(runs, processes=2, drawings=4) == (pytest.approx(work + 2 * 5 + 4 * 3), set())


def test_a_slower_machine_takes_longer(known: estimate.Durations, plane: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    here, _ = estimate.seconds(list(plane), 2)
    monkeypatch.setattr(estimate, "calibrate", lambda: 2.5)
    assert estimate.seconds(list(plane), 2)[0] == pytest.approx(2.5 * here)


def test_finished_runs_take_the_place_of_the_calibration(
    known: estimate.Durations, plane: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *rest = plane
    asked: list[tuple[Path, str]] = []

    def made_here(folder: Path, key: str) -> SimpleNamespace:
        asked.append((folder, key))
        took = {"total": 3 * KINDS[estimate.kind(first)] * estimate.evaluations(first) / 1000}
        machine = SimpleNamespace(processor=processor())
        return SimpleNamespace(meta=SimpleNamespace(machine=machine, device="cpu", seconds=took))

    monkeypatch.setattr(estimate, "read_record", made_here)
    before, _ = estimate.seconds(rest, 2)
    assert estimate.seconds(rest, 2, finished=[first])[0] == before  # too little to go by
    monkeypatch.setattr(estimate, "ENOUGH", 0.0)
    assert estimate.seconds(rest, 2, finished=[first])[0] == pytest.approx(3 * before)
    assert asked == [(first.folder, first.key)] * 2


def test_what_was_never_recorded_is_named(known: estimate.Durations, plane: Grid) -> None:
    del known.per_thousand["gmm2d/fkc"]
    assert "never recorded: gmm2d/fkc" in estimate.sentence(list(plane), 2, 0, 2)


def test_every_kind_of_run_of_the_default_experiment_was_recorded() -> None:
    kinds = {estimate.kind(spec) for spec in DEFAULT} | {estimate.kind(spec.base) for spec in DEFAULT}
    assert kinds <= set(estimate.recorded().per_thousand)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 seconds"), (42, "42 seconds"), (95, "1.6 minutes"), (1500, "25 minutes"), (7200, "2.0 hours")],
)
def test_durations_are_spoken(seconds: float, words: str) -> None:
    assert estimate.spoken(seconds) == words


def test_the_calibration_measures_something() -> None:
    assert 1e-5 < estimate.calibrate() < 10
