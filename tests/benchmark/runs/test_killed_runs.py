"""`papa align` that is killed at random moments and started again: the same record, and no question is asked twice."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import tiny

from papa.benchmark.grid import load
from papa.benchmark.runs.align import work_folder
from papa.benchmark.runs.record import Record, read_record
from papa.benchmark.specs import RunSpec

pytestmark = pytest.mark.slow

KILLS = 10
BLOCK = {"task": "gmm2d", "methods": ["fkc"], "users": ["whimsical"], "seeds": [0]}
ROUNDS = 40
COMMAND = """
import os, sys, zlib
from papa import cli
from papa.benchmark.runs import align
from papa.models import base_samples

base_samples.BLOCK = 16
calls, build = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND), align.user_of

def overheard(*given):
    user = build(*given)
    answer = user.answer
    def answering(images, *more):
        os.write(calls, b"%08x\\n" % zlib.crc32(images.numpy().tobytes()))
        return answer(images, *more)
    user.answer = answering
    return user

align.user_of = overheard
sys.exit(cli.main(sys.argv[2:]))
"""
"""The command line, which takes down what the user is asked: a line for each call, of what was shown."""


class Place:
    """A run in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        users = {"whimsical": {"user": "linear", "flip": 0.2, "missing": 0.2}}
        data = tiny.config(folder, BLOCK, users=users)
        data["methods"]["fkc"] |= {"labels": 2 * ROUNDS, "per_round": 2, "beta_max": 2}
        self.config, self.calls = tiny.write(folder, data), folder / "calls"
        (self.spec,) = load(self.config).select()

    def start(self) -> subprocess.Popen[str]:
        axes = ["--task", "gmm2d", "--method", "fkc", "--user", "whimsical", "--config", str(self.config)]
        command = [sys.executable, "-c", COMMAND, str(self.calls), "align", *axes]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def asked(self) -> list[str]:
        """What the user was shown, by all processes so far."""
        return self.calls.read_text(encoding="utf-8").split() if self.calls.exists() else []

    def logged(self) -> int:
        """The rounds whose answers are on the disk."""
        log = work_folder(self.spec) / "feedback.jsonl"
        return max(0, log.read_bytes().count(b"\n") - 1) if log.exists() else 0


def killed(place: Place, chance: random.Random) -> None:
    """Start a run, and kill it at a random moment after it has asked some more; or while it replays what it knows."""
    before, wanted = len(place.asked()), chance.randint(0, 3)
    process = place.start()
    until = time.monotonic() + 120
    while len(place.asked()) < before + wanted and process.poll() is None and time.monotonic() < until:
        time.sleep(0.001)
    time.sleep(chance.random() * (0.05 if wanted else 3))
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said


def without_seconds(record: Record) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in record.rows("rounds.csv")]


def record_of(spec: RunSpec) -> Record:
    return read_record(spec.folder, spec.key).verify()


def test_killed_at_ten_random_moments_a_run_is_the_same_and_no_answered_round_is_asked_again(tmp_path: Path) -> None:
    whole, cut = Place(tmp_path / "whole"), Place(tmp_path / "cut")
    assert whole.start().wait() == 0
    questions = whole.asked()
    assert len(questions) == len(set(questions)) == ROUNDS

    chance, lost = random.Random(5), 0
    for _ in range(KILLS):
        known, before = cut.logged(), len(cut.asked())
        killed(cut, chance)
        asked = cut.asked()[before:]
        assert asked == questions[known : known + len(asked)], "asked again, left out, or something else was asked"
        lost += known + len(asked) - cut.logged()
    assert cut.logged() > KILLS, "the processes were killed before they had asked anything"
    assert cut.start().wait() == 0
    # An answer may be given and its process killed before it was on the disk: no more than one a kill, and asked again.
    assert len(cut.asked()) == ROUNDS + lost and lost <= KILLS

    assert cut.spec.key == whole.spec.key
    one, other = record_of(whole.spec), record_of(cut.spec)
    for name in ("samples.npz", "feedback.jsonl", "trace.csv"):
        assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes(), name
    assert without_seconds(one) == without_seconds(other)
    same = ("labels", "learning", "total", "asked", "status")
    assert one.meta.model_dump(include=set(same)) == other.meta.model_dump(include=set(same))
    seconds = [float(row["seconds"]) for row in other.rows("rounds.csv")]
    assert seconds == sorted(seconds) and seconds[0] > 0
    assert [path.name for path in other.folder.parent.iterdir()] == ["seed0"], "what a run keeps meanwhile is gone"


def test_the_seconds_of_a_round_are_those_that_were_measured_when_it_was_answered(tmp_path: Path) -> None:
    """Replaying takes less time than the answers did; the record says what they took."""
    place = Place(tmp_path / "place")
    process = place.start()
    while place.logged() < 3 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = sorted(work_folder(place.spec).glob("round*.json"))  # the kill may have come one or more rounds later
    for file in kept:
        taken = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps(taken | {"spent": taken["spent"] + 1000}), encoding="utf-8")
    assert place.start().wait() == 0
    rows = list(csv.DictReader((place.spec.folder / "rounds.csv").read_text(encoding="utf-8").splitlines()))
    assert len(kept) >= 2 and all(1000 < float(row["seconds"]) < 1100 for row in rows[1:])
    assert os.listdir(place.spec.folder.parent) == ["seed0"]
