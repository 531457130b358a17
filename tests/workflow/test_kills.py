"""`kill -9` of everything at ten random moments: the same tables, and nothing that was finished is made again."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from support.workplace import TINY, Work, assert_same_numbers, surroundings, text_of, without_costs

from papa.benchmark.config import Config
from papa.benchmark.grid import Grid
from papa.paper.shown import made_by_default

pytestmark = pytest.mark.slow

KILLS = 10
TABLES, _ = made_by_default(Grid(Config.model_validate(TINY)))
TARGETS = ("collect", *(f"table_{name}" for name in TABLES), "claims")
LOST = "results/digits/runs/papa", "results/gmm2d", "results/tables"


def killed_after(work: Work, moment: float) -> bool:
    """Start the workflow and kill its whole process group a moment after its first jobs have started.

    Returns: whether it was killed; it may be done before.
    """
    log = work.root / "killed.log"
    with log.open("w") as output:
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *TARGETS]
        process = subprocess.Popen(
            command, cwd=work.root, env=surroundings(), stdout=output, stderr=output, start_new_session=True
        )
        until = time.monotonic() + 120
        while process.poll() is None and "Execute " not in log.read_text() and time.monotonic() < until:
            time.sleep(0.05)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
    return False


def test_kills_at_ten_random_moments(finished: Work, again: Work) -> None:
    """The stages from base samples to verdicts, of the plane and one method of digits."""
    for place in LOST:
        shutil.rmtree(again.root / place)
    for name in ("runs.parquet", "claims.json", "claims.md"):
        (again.root / "results" / name).unlink()
    draw, kills, made = random.Random(9), 0, again.runs()
    for _ in range(KILLS):
        kills += killed_after(again, draw.uniform(0.1, 4))
        assert again.remade(made) == set(again.runs()) - set(made), "a finished run was made again"
        made = again.runs()
        if any((again.root / ".snakemake/locks").iterdir()):
            again.made("--unlock")
    assert kills >= KILLS // 2, "the moments are those of another machine"

    done = again.resume(*TARGETS)
    assert done.returncode == 0, text_of(done)
    assert again.remade(made) == set(again.runs()) - set(made)
    assert set(again.runs()) == set(finished.runs())
    assert_same_numbers(finished.numbers(), again.numbers())
    for name in TABLES:
        one, other = (pd.read_csv(work.root / f"results/tables/{name}.csv") for work in (finished, again))
        assert_same_numbers(*(without_costs(table) if "metric" in table else table for table in (one, other)))
    one, other = (json.loads((work.root / "results/claims.json").read_text()) for work in (finished, again))
    assert one == other
    assert "Nothing to be done" in text_of(again.made(*TARGETS))
