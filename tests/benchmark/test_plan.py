"""The jobs of the workflow: which process makes which runs, and which stamps say that they are there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support import tiny

from papa.benchmark.grid import Grid, load
from papa.benchmark.plan import Plan

USERS = ["likes-1479", "likes-3", "likes-068"]


def grid(folder: Path, **given: object) -> Grid:
    block = {"task": "digits", "methods": ["base", "papa"], "users": USERS, "seeds": [0, 1, 2, 10]}
    return tiny.grid(folder, block, seeds_per_job=2, users_per_job=2, **given)


def groups(of: Grid) -> dict[tuple[str, str], list[list[str]]]:
    return {("digits", method): [USERS] for method in of.methods if method in ("base", "papa")}


def test_every_run_is_in_one_job_whose_users_and_seeds_fit_into_a_process(tmp_path: Path) -> None:
    of = grid(tmp_path)
    plan = Plan(of, groups(of))
    assert sorted(spec.folder for specs in plan.runs.values() for spec in specs) == sorted(s.folder for s in of)
    assert plan.chunks == {"digits": [[0, 1], [2, 10]]}
    assert {stamp.removeprefix(f"{of.config.results}/stamps/") for stamp in plan.runs} == {
        f"align/digits/{method}/{users}/chunk{chunk}.0.done"
        for method in ("base", "papa")
        for users in ("likes-1479~2", "likes-068")
        for chunk in (0, 1)
    }
    stamp = next(stamp for stamp in plan.runs if "papa/likes-1479~2/chunk1" in stamp)
    assert plan.axes("digits", "papa", "likes-1479~2", 1) == "--user likes-1479 likes-3 --seeds 2 10"
    assert plan.stamps_of(of.select("digits", "papa", "likes-3", [10])) == [stamp]
    assert plan.base_of("digits", 10) == [plan.base_stamps["digits", 1]] and plan.base_of("fruits", 0) == []
    assert plan.memory() == plan.memory("digits") and len(plan.missing) == len(of)


def test_another_seed_leaves_the_earlier_chunks(tmp_path: Path) -> None:
    of = grid(tmp_path)
    more = tiny.grid(
        tmp_path, {"task": "digits", "methods": ["base"], "users": USERS, "seeds": [0, 1, 2, 10, 11]}, seeds_per_job=2
    )
    assert Plan(more, {("digits", "base"): [USERS]}).chunks["digits"][:2] == Plan(of, groups(of)).chunks["digits"]


def stamps(plan: Plan, done: bool = False) -> set[str]:
    """The numbers of the stamps of a plan; made, where its jobs are done."""
    for stamp in plan.runs if done else []:
        Path(stamp).parent.mkdir(parents=True, exist_ok=True)
        Path(stamp).touch()
    return {stamp.split(".")[-2] for stamp in plan.runs}


@pytest.mark.usefixtures("small_blocks")
def test_a_stamp_is_used_as_long_as_the_runs_of_its_job_are_finished(finished: tuple[Path, Path]) -> None:
    path, results = finished

    def planned() -> Plan:
        of = load(path)
        return Plan(of, {("gmm2d", method): [["linear"]] for method in ("base", "fkc")})

    assert not planned().missing and stamps(planned(), done=True) == {"0"} == stamps(planned())
    run = results / "gmm2d/runs/fkc/linear/seed1"
    shutil.move(run, results / "away")
    assert stamps(planned()) == {"0", "1"} and len(planned().missing) == 1
    [stamp] = [stamp for stamp in planned().runs if ".1.done" in stamp]
    assert "gmm2d/fkc" in stamp
    shutil.move(results / "away", run)
    assert stamps(planned()) == {"0"}, "the run is back"
    Path(stamp).touch()
    assert stamps(planned()) == {"0", "1"}, "made again, so the later stamp is the job's"
    samples = results / "gmm2d/base/seed0/samples.npz"
    samples.write_bytes(samples.read_bytes()[:-1])
    assert planned().base_stamps["gmm2d", 0].endswith("chunk0.0.done")  # it was never stamped here
