"""Records that are truncated, out of date or not there: what stops, what is said, and that the rest stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support import tiny
from support.command_line import Papa, align, state_of


def test_truncated_samples_stop_score_and_collect_and_the_other_runs_stay(
    finished: tuple[Path, Path], refused: Callable[..., str], papa: Papa
) -> None:
    path, results = finished
    hurt = results / "gmm2d" / "runs" / "fkc" / "linear" / "seed1"
    file = hurt / "samples.npz"
    file.write_bytes(file.read_bytes()[:-50])
    before = state_of(results)
    refused("collect", "--config", path, words=("samples.npz", "truncated", "delete the folder"))
    (hurt / "metrics.json").unlink()
    refused("score", "--config", path, words=("samples.npz", "truncated"))
    after = state_of(results)
    assert set(before) - set(after) == {str((hurt / "metrics.json").relative_to(results))}
    assert all(before[name] == after[name] for name in after), "nothing else was touched, the long table included"

    # What the message says helps: the run is made again, and only that one.
    code, said = papa(*align(path, method="fkc"))
    assert code == 0 and said.count("already there") == 1
    assert papa("score", "--config", path)[0] == papa("collect", "--config", path)[0] == 0
    again = state_of(results)
    same = {name for name in before if before[name] == again.get(name)}
    assert {name for name in before if not name.startswith("gmm2d/runs/fkc/linear/seed1")} - same == {"runs.parquet"}


def test_truncated_base_samples_are_noticed(finished: tuple[Path, Path], refused: Callable[..., str]) -> None:
    path, results = finished
    file = results / "gmm2d" / "base" / "seed0" / "samples.npz"
    file.write_bytes(file.read_bytes()[:100])
    for score in results.rglob("metrics.json"):
        score.unlink()
    refused("score", "--config", path, words=("base/seed0/samples.npz", "truncated"))


def test_a_run_of_other_settings_is_not_collected(finished: tuple[Path, Path], refused: Callable[..., str]) -> None:
    path, _ = finished
    data = tiny.config(path.parent)
    data["methods"]["fkc"]["beta_max"] = 7
    refused("collect", "--config", tiny.write(path.parent, data), words=("other settings", "again"))


def test_damaged_values_of_a_run_are_noticed(finished: tuple[Path, Path], refused: Callable[..., str]) -> None:
    path, results = finished
    file = next(results.rglob("metrics.json"))
    file.write_text(file.read_text()[:40])
    refused("collect", "--config", path, words=("metrics.json", "damaged"))
    file.unlink()
    refused("collect", "--config", path, words=("no up-to-date values", "papa score"))


def test_a_figure_of_values_that_are_not_there(finished: tuple[Path, Path], refused: Callable[..., str]) -> None:
    path, results = finished
    values = results / "gmm2d" / "runs" / "fkc" / "linear" / "seed1" / "metrics.json"
    values.write_bytes(values.read_bytes()[:200])
    refused("plot", "F7", "--config", path, words=("seed1/metrics.json", "damaged"))
    values.unlink()
    refused("plot", "F7", "--config", path, words=("seed1", "no up-to-date values", "papa score"))


def test_what_is_not_there_yet_is_said(tmp_path: Path, refused: Callable[..., str]) -> None:
    path = tiny.write(tmp_path, tiny.config(tmp_path))
    refused("score", "--config", path, words=("no record", "run the alignment"))
    refused("collect", "--config", path, words=("no record", "run the alignment"))
