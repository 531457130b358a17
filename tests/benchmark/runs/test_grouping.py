"""A run gives the same bits and values whoever shares its process, in whatever order; a forced one is made again."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from support import tiny
from support.command_line import Papa

from papa.benchmark.grid import load
from papa.benchmark.runs.record import read_record
from papa.benchmark.runs.scores import read_scores, score_key

USERS, SEEDS = ["likes-1479", "likes-3"], [0, 1]
TIMED = {"seconds", "peak_memory"}


def results(folder: Path) -> dict:
    """Everything that a run says, but for time and memory."""
    found = {}
    for spec in load(folder / "config.yaml"):
        record = read_record(spec.folder, spec.key).verify()
        values = [row for row in read_scores(spec.folder, score_key(spec)) or [] if row["metric"] not in TIMED]
        assert values
        arrays = {name: array.tobytes() for name, array in record.arrays().items()}
        found[spec.method, spec.user, spec.seed] = arrays, record.lines(), sorted(map(str, values))
    return found


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest):
    def made(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        block = {"task": "digits", "methods": ["best_of_n", "papa", "fkc"], "users": USERS, "seeds": SEEDS}
        tiny.write(folder, tiny.config(folder, block))
        return folder

    return made


def align(folder: Path, method: str, users: list[str], seeds: list[int], *more: str) -> list[str]:
    axes = ["--task", "digits", "--method", method, "--user", *users, "--seeds", *map(str, seeds)]
    return ["align", "--config", str(folder / "config.yaml"), *axes, *more]


def test_processes_groups_and_order_change_no_bit(place, papa: Papa, small_blocks: None) -> None:
    together, apart = place("together"), place("apart")
    for method in ("best_of_n", "papa", "fkc"):
        assert papa(*align(together, method, USERS, SEEDS))[0] == 0
    for method, user, seed in reversed(list(product(("best_of_n", "papa", "fkc"), USERS, SEEDS))):
        assert papa(*align(apart, method, [user], [seed]))[0] == 0
    one, other = results(together), results(apart)
    assert len(one) == 12 and one == other


def test_a_forced_run_is_made_again_and_no_other(place, papa: Papa, small_blocks: None) -> None:
    folder = place("forced")
    assert papa(*align(folder, "papa", USERS, SEEDS))[0] == 0
    made = [spec.folder / "run.json" for spec in load(folder / "config.yaml").select(method="papa")]
    before = {file: file.stat().st_mtime_ns for file in made}
    code, said = papa(*align(folder, "papa", ["likes-3"], [1], "--force"))
    assert code == 0 and "already there" not in said
    remade = {file for file in before if file.stat().st_mtime_ns != before[file]}
    assert {file.parts[-3:-1] for file in remade} == {("likes-3", "seed1")}
