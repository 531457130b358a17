"""profiles/slurm on a cluster of two nodes on this machine: the same tables, also after a cancelled and a moved job."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.workplace import ACCIDENTS, REPOSITORY, TINY, Work, assert_same_numbers, surroundings

from papa.benchmark.config import Config
from papa.benchmark.grid import Grid
from papa.paper.shown import made_by_default

sys.path.insert(0, str(REPOSITORY / "tools"))
import slurm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.slurm,
    pytest.mark.skipif(bool(slurm.missing()), reason="Slurm's daemons are not installed"),
    pytest.mark.skipif(find_spec("snakemake_executor_plugin_slurm") is None, reason='needs pip install -e ".[slurm]"'),
]

ALL, TWO = tuple(made_by_default(Grid(Config.model_validate(TINY)))[0]), ("T1", "T3")
PAPA = "digits", "papa", "likes-3"
COSTS = "seconds", "peak_memory"
PATIENCE = 1200  # seconds
Submit = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Path]:
    """The folder of the commands of a cluster that goes with the test. It starts within two seconds."""
    folder = tmp_path / "slurm"
    yield slurm.start(folder)
    slurm.stop(folder)


@pytest.fixture
def submit(cluster: Path) -> Iterator[Submit]:
    """Start Snakemake with the shipped profile. There is no accounting here, and short jobs are looked at often."""
    started: list[subprocess.Popen[bytes]] = []

    def start(work: Work, tables: tuple[str, ...], **environment: str) -> subprocess.Popen[bytes]:
        options = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2"]
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", *options]
        command += ["collect", *(f"table_{name}" for name in tables), "claims"]
        given = surroundings() | environment
        given["PATH"] = os.pathsep.join([str(cluster), given["PATH"]])
        with (work.root / "slurm.log").open("w") as log:
            process = subprocess.Popen(command, cwd=work.root, env=given, stdout=log, stderr=log)
        started.append(process)
        return process

    yield start
    for process in started:  # of a test that failed
        process.kill()
        process.wait()


def ended(process: subprocess.Popen[bytes], work: Work) -> str:
    """What Snakemake said up to its end, which must be a good one."""
    code = process.wait(PATIENCE)
    said = (work.root / "slurm.log").read_text()
    assert code == 0, said
    return said


def assert_same_tables(one: Work, other: Work, tables: tuple[str, ...]) -> None:
    """To the byte, but for lines of seconds and memory, which differ from one run to the next."""
    assert_same_numbers(one.numbers(), other.numbers())
    for name in [*(f"tables/{name}.csv" for name in tables), "claims.md", "claims.json"]:
        lines, others = ((work.root / "results" / name).read_bytes().splitlines() for work in (one, other))
        assert lines and [line for line in lines if fixed(line)] == [line for line in others if fixed(line)]


def fixed(line: bytes) -> bool:
    return not any(word.encode() in line for word in COSTS)


def test_the_same_tables_as_on_this_machine(finished: Work, clean: Work, submit: Submit, tmp_path: Path) -> None:
    work = clean.copy_to(tmp_path / "papa")
    work.configure()
    said = ended(submit(work, ALL), work)
    assert said.count("has been submitted with SLURM jobid") > len(ALL)
    assert set(work.runs()) == set(finished.runs())
    assert_same_tables(finished, work, ALL)


def cancelled(tell: Callable[..., str], job: str) -> None:
    """Somebody ends the job; Snakemake submits it once more."""
    tell("scancel", job)


def moved(tell: Callable[..., str], job: str) -> None:
    """The job's node is taken out of service, and Slurm puts the job back into the queue, for the other one."""
    node = tell("squeue", "--noheader", "--format=%N", "--jobs", job).strip()
    tell("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")
    tell("scontrol", "requeue", job)


@pytest.mark.parametrize(("accident", "submissions"), [(cancelled, 2), (moved, 1)])
def test_a_job_that_is_stopped_in_the_middle_goes_on(
    finished: Work, again: Work, cluster: Path, submit: Submit, accident: Callable[..., None], submissions: int
) -> None:
    """PAPA's second seed is stopped after its first round, while the first one is finished."""
    shutil.rmtree(again.run_folder(*PAPA, 0).parent)
    for name in ("runs.parquet", "claims.md", "claims.json", *(f"tables/{name}.csv" for name in TWO)):
        (again.root / "results" / name).unlink()
    log = again.root / "results/logs/align" / "/".join(PAPA) / "chunk0.1.log"  # of the next stamp
    pause = again.root / "pause"
    pause.touch()

    def tell(*command: str) -> str:
        return slurm.run(f"{cluster}/{command[0]}", *command[1:])

    place = "papa/likes-3/seed1: round 1/"
    process = submit(again, TWO, PYTHONPATH=ACCIDENTS, PAUSE_AT_LOG=place, PAUSE_WHILE=str(pause))
    until = time.monotonic() + PATIENCE
    while not (log.exists() and place in log.read_text()):
        assert process.poll() is None and time.monotonic() < until, (again.root / "slurm.log").read_text()
        time.sleep(0.1)
    first = again.runs()
    [job] = tell("squeue", "--noheader", "--states=RUNNING", "--format=%i").split()
    accident(tell, job)
    while tell("squeue", "--noheader", "--states=all", "--format=%T", "--jobs", job).strip() not in {
        "CANCELLED",
        "PENDING",
    }:
        assert time.monotonic() < until, "the job has not ended"
        time.sleep(0.1)
    pause.unlink()

    said = ended(process, again)
    assert len(re.findall("submitted with SLURM jobid .*/rule_align/", said)) == submissions
    assert "continuing after round 1" in log.read_text()
    assert (*PAPA, "seed1") not in first and again.remade(first) == {(*PAPA, "seed1")}
    assert_same_tables(finished, again, TWO)
