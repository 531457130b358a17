"""What a stamp, a table or a figure claims holds, or it is made again: records are judged by their keys."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.tiny import assert_paragraph
from support.workplace import ACCIDENTS, TINY, Work, assert_same_numbers, text_of

TABLE = "results/runs.parquet"
PLANE = "gmm2d", "base", "linear"
PAPA = "digits", "papa", "likes-3"


def run_folder(work: Work) -> Path:
    return work.run_folder(*PLANE, 0)


def base_folder(work: Work) -> Path:
    return work.root / "results/gmm2d/base/seed0"


def scores(work: Work) -> Path:
    return run_folder(work) / "metrics.json"


def long_table(work: Work) -> Path:
    return work.root / TABLE


def gone(place: Path) -> None:
    shutil.rmtree(place) if place.is_dir() else place.unlink()


def of_other_runs(place: Path) -> None:
    """A long table that is sound, of a part of the runs: `papa collect` by hand with another configuration."""
    work = Work(place.parents[1])
    work.write("part.yaml", TINY | {"grid": {"plane": TINY["grid"]["plane"]}})
    assert work.papa("collect", "--config", "part.yaml").returncode == 0


def of_another_run(place: Path) -> None:
    """A record that is sound, of the other method of the plane."""
    other = place.parents[2] / "fkc-plane" / place.parent.name / place.name
    shutil.rmtree(place)
    shutil.copytree(other, place)


ALIGNED = {(*PLANE, "0")}


@pytest.mark.parametrize(
    ("place", "spoil", "rules", "alignments"),
    [
        (run_folder, gone, {"align", "collect"}, ALIGNED),
        (run_folder, of_another_run, {"align", "collect"}, ALIGNED),
        (base_folder, gone, {"base_samples", "align", "collect"}, None),
        (scores, gone, {"align", "collect"}, ALIGNED),
        (long_table, gone, {"collect"}, set()),
        (long_table, of_other_runs, {"collect"}, set()),
    ],
    ids=lambda given: getattr(given, "__name__", None),
)
def test_what_is_lost_is_made_again_and_then_nothing_is_left_to_do(
    finished: Work,
    again: Work,
    place: Callable[[Work], Path],
    spoil: Callable[[Path], None],
    rules: set[str],
    alignments: set[tuple[str, ...]] | None,
) -> None:
    spoil(place(again))
    plan = again.planned(TABLE)
    assert set(plan.rules) - {"all"} == rules
    assert alignments is None or plan.alignments == alignments
    again.made(TABLE)
    assert "Nothing to be done" in text_of(again.made(TABLE))
    assert_same_numbers(finished.numbers(), again.numbers())


@pytest.mark.parametrize(
    "content", ["[]", "null", "{}", '{"key": 1}', "nan", "", "\x00", '"run"', "[[]]", '{"schema_version": 99}']
)
@pytest.mark.parametrize("name", ["run.json", "metrics.json"])
def test_a_record_of_anything_is_planned_again(finished: Work, tmp_path: Path, name: str, content: str) -> None:
    """Without Snakemake: planning asks these two functions."""
    from papa.benchmark import grid
    from papa.benchmark.runs.record import stands
    from papa.benchmark.runs.scores import is_scored

    shutil.copytree(finished.root / "results/gmm2d", tmp_path / "results/gmm2d")
    shutil.copy(finished.root / "config.yaml", tmp_path)
    of = grid.load(tmp_path / "config.yaml", {"results": str(tmp_path / "results")})
    [spec] = of.select(*PLANE)
    assert stands(spec.folder, spec.key) and is_scored(spec)
    (spec.folder / name).write_text(content, encoding="utf-8")
    assert not (stands(spec.folder, spec.key) if name == "run.json" else is_scored(spec))


def test_a_setting_that_was_changed_killed_and_changed_back(finished: Work, again: Work) -> None:
    """Killed when one of the two jobs has made its run and not said so yet: the store holds both settings."""
    more = {name: TINY["methods"][name] | {"labels": 12} for name in ("base", "fkc-plane")}
    again.configure(methods=TINY["methods"] | more)
    before = again.runs()
    done = again.snakemake(
        *(
            "results/stamps/align/gmm2d/base/linear/chunk0.txt",
            "results/stamps/align/gmm2d/fkc-plane/linear/chunk0.txt",
        ),
        *("--cores", "1"),
        PYTHONPATH=ACCIDENTS,
        KILL_AT_WRITE="stamps/align/gmm2d",
    )
    assert done.returncode == -signal.SIGKILL
    [mixed] = again.remade(before)
    again.configure()
    assert again.planned(TABLE).alignments >= {(*mixed[:3], "0")}
    done = again.resume(TABLE)
    assert done.returncode == 0, text_of(done)
    assert_same_numbers(finished.numbers(), again.numbers())
    assert "Nothing to be done" in text_of(again.made(TABLE))


def test_a_run_that_was_made_by_hand_with_another_configuration(finished: Work, again: Work) -> None:
    """No figure shows it, the next call of the workflow mends it, and the pictures are those of before."""
    again.write("other.yaml", TINY | {"methods": TINY["methods"] | {"papa": TINY["methods"]["papa"] | {"lr": 1e-2}}})
    axes = [word for name, value in zip(("--task", "--method", "--user"), PAPA, strict=True) for word in (name, value)]
    assert again.papa("align", "--config", "other.yaml", *axes, "--seeds", "0").returncode == 0
    figures = {path: when for path, when in again.files().items() if path.startswith("figures")}

    drawn = again.papa("plot", "F3")
    assert drawn.returncode == 2
    assert_paragraph(drawn.stderr, "papa plot", "digits/runs/papa/likes-3/seed0", "other settings", "snakemake")
    other = again.papa("table", "T1", "--config", "other.yaml")
    assert other.returncode == 2
    assert_paragraph(other.stderr, "papa table", "digits/runs/papa/likes-3/seed1", "other settings")
    assert {path: when for path, when in again.files().items() if path.startswith("figures")} == figures

    before, targets = again.runs(), (TABLE, "figures/F3.png")
    assert again.planned(*targets).alignments == {(*PAPA, "0")}
    again.made(*targets)
    assert again.remade(before) == {(*PAPA, "seed0")}
    assert_same_numbers(finished.numbers(), again.numbers())
    assert (again.root / "figures/F3.png").read_bytes() == (finished.root / "figures/F3.png").read_bytes()
    assert "Nothing to be done" in text_of(again.made(*targets))
