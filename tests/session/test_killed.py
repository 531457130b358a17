"""A session that is killed at any moment asks nothing twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = """
import sys
import torch
torch.set_num_threads(1)
from papa import MixtureModel, Session
from papa.models.mixture import Mixture

def say(*words):
    print(*words, flush=True)

means = torch.tensor([[-1.0, 0.0], [1.0, 0.5]])
model = MixtureModel(Mixture(torch.ones(2), means, 0.2 * torch.eye(2).expand(2, 2, 2)), steps=5)
small = {"particles": 6, "surrogate": {"epochs": 2, "channels": 8}}
session = Session(model, "fkc", labels=240, per_round=2, log=sys.argv[1], settings=small)
say("opened", session.logged)
for question in session:
    say("asked", question.round)
    session.answer([bool(x > 0) for x in question.images[:, 0]])
    say("answered", question.round)
say("samples", session.sample(6).numpy().tobytes().hex())
"""


def start(log: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(log)], stdout=subprocess.PIPE, text=True)


def killed(log: Path, chance: random.Random) -> list[list[str]]:
    """Start the script, kill it at a random moment after a new round was asked; what it had said."""
    process = start(log)
    assert process.stdout is not None
    said, wanted = [], chance.randint(1, 3)
    while sum(words[0] == "asked" for words in said) < wanted:
        line = process.stdout.readline()
        assert line, f"ended too early: {said[-3:]}"
        said.append(line.split())
    time.sleep(chance.random() * 0.01)
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    return said + [line.split() for line in rest.splitlines()]


def test_killed_at_ten_random_moments_nothing_is_asked_twice(tmp_path: Path) -> None:
    undisturbed = start(tmp_path / "undisturbed.jsonl").communicate()[0].split()[-1]
    log, chance, answered = tmp_path / "killed.jsonl", random.Random(0), set[int]()
    lives = [killed(log, chance) for _ in range(10)]
    lives.append([line.split() for line in start(log).communicate()[0].splitlines()])
    for said in lives:
        asked = [int(words[1]) for words in said if words[0] == "asked"]
        assert not answered & set(asked)
        assert asked == list(range(asked[0], asked[0] + len(asked)))  # none is left out
        assert int(said[0][1]) == asked[0] >= len(answered)
        answered |= {int(words[1]) for words in said if words[0] == "answered"}
    assert len(answered) >= 110  # of 120; a round may be in the log and its process killed before it said so
    assert lives[-1][-1] == ["samples", undisturbed]
    assert log.read_bytes() == (tmp_path / "undisturbed.jsonl").read_bytes()
