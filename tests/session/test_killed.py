"""A session that is killed at any moment asks nothing twice."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import TextIO

import pytest
import torch

from papa import MixtureModel, Session
from papa.models.mixture import Mixture


def play(log: Path, write: int) -> None:
    """A session that reports what it does."""

    def say(*words: object) -> None:
        os.write(write, (" ".join(map(str, words)) + "\n").encode())

    means = torch.tensor([[-1.0, 0.0], [1.0, 0.5]])
    model = MixtureModel(Mixture(torch.ones(2), means, 0.2 * torch.eye(2).expand(2, 2, 2)), steps=5)
    small = {"particles": 6, "surrogate": {"epochs": 2, "channels": 8}}
    session = Session(model, "fkc", labels=240, per_round=2, log=log, settings=small)
    say("opened", session.logged)
    for question in session:
        say("asked", question.round)
        session.answer([bool(x > 0) for x in question.images[:, 0]])
        say("answered", question.round)
    say("samples", session.sample(6).numpy().tobytes().hex())


def start(log: Path) -> tuple[int, TextIO]:
    """The session in a forked process: its number, and what it reports."""
    read, write = os.pipe()
    if child := os.fork():
        os.close(write)
        return child, os.fdopen(read)
    try:
        os.close(read)
        play(log, write)
    finally:
        os._exit(0)


def whole(log: Path) -> list[list[str]]:
    child, report = start(log)
    said = [line.split() for line in report]
    os.waitpid(child, 0)
    return said


def killed(log: Path, chance: random.Random) -> list[list[str]]:
    """Start the session, kill it at a random moment after a new question; what it had reported."""
    child, report = start(log)
    said, wanted = [], chance.randint(1, 3)
    while sum(words[0] == "asked" for words in said) < wanted:
        line = report.readline()
        assert line, f"ended too early: {said[-3:]}"
        said.append(line.split())
    time.sleep(chance.random() * 0.01)
    os.kill(child, signal.SIGKILL)
    said += [line.split() for line in report if line.endswith("\n")]
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    return said


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_killed_at_ten_random_moments_nothing_is_asked_twice(tmp_path: Path) -> None:
    undisturbed = whole(tmp_path / "undisturbed.jsonl")[-1]
    log, chance, answered = tmp_path / "killed.jsonl", random.Random(0), set[int]()
    for said in [*(killed(log, chance) for _ in range(10)), last := whole(log)]:
        asked = [int(words[1]) for words in said if words[0] == "asked"]
        assert not answered & set(asked)
        assert asked == list(range(asked[0], asked[0] + len(asked)))  # none is left out
        assert int(said[0][1]) == asked[0] >= len(answered)
        answered |= {int(words[1]) for words in said if words[0] == "answered"}
    assert len(answered) >= 110  # of 120; a round may be in the log and its process killed before it said so
    assert last[-1] == undisturbed and undisturbed[0] == "samples"
    assert log.read_bytes() == (tmp_path / "undisturbed.jsonl").read_bytes()
