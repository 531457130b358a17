"""A session that continues from its log, and the lock of a log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.answered import ROUNDS, answer_some, finish, rule, session
from support.refusals import refused
from torch import Tensor

from papa.benchmark.tasks.digits.task import Digits
from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.errors import SessionError
from papa.session import Session


@pytest.mark.parametrize(("method", "after"), [("papa", 1), ("fkc", 2), ("best_of_n", ROUNDS)])
def test_a_session_continues_with_the_same_bits(digits: Digits, log: Path, method: str, after: int) -> None:
    undisturbed = finish(session(digits.model, method))
    answer_some(session(digits.model, method, log=log), after)
    again = session(digits.model, method, log=log)
    assert again.logged == after and again.round == 0
    happened = list(again.play(rule))
    assert [r.replayed for r in happened] == [i < after for i in range(ROUNDS)]
    assert torch.equal(again.sample(4), undisturbed)
    assert len(log.read_text().splitlines()) == 1 + ROUNDS


@pytest.mark.parametrize("act", [lambda of: of.ask(), lambda of: of.sample(1), lambda of: next(iter(of))])
def test_the_first_call_replays_the_log(plane: Gmm2d, log: Path, act: Callable[[Session], Any]) -> None:
    answer_some(session(plane.model, log=log), 2)
    again = session(plane.model, log=log)
    act(again)
    assert again.round == 2
    assert torch.equal(finish(again), finish(session(plane.model)))


def test_a_log_has_the_answers_and_no_path(plane: Gmm2d, log: Path) -> None:
    of = session(plane.model, log=log, seed=7, about={"person": "me"})
    for question in of:
        held = log.read_text().splitlines()
        assert len(held) == 1 + question.round  # answered rounds are there before the next question
        of.answer(rule(question))
    head, *rounds = map(json.loads, log.read_text().splitlines())
    assert head["papa"] == 1 and head["method"] == "fkc" and head["seed"] == 7 and head["person"] == "me"
    assert head["settings"]["labels"] == 5
    assert [line["round"] for line in rounds] == [0, 1, 2]
    assert rounds[1]["preference"][1] is None and rounds[0]["preference"][0] in (0.25, 0.75)
    assert all(len(line["marks"]) == len(line["preference"]) for line in rounds)
    assert str(log.parent) not in log.read_text()


def test_the_answers_are_on_the_disk_before_anything_is_learned(
    plane: Gmm2d, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, of = [], session(plane.model, log=log)
    of.ask()
    sync, learn = os.fsync, of.method.learn
    monkeypatch.setattr(os, "fsync", lambda handle: (sync(handle), synced.append(len(log.read_text().splitlines()))))
    monkeypatch.setattr(of.method, "learn", lambda *told: (synced.append("learned"), learn(*told)))
    of.answer([True, False])
    assert synced == [2, "learned"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_round_is_not_continued(
    digits: Digits, log: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Ctrl-C in a notebook while the network is trained, and the cell run again."""
    of = session(digits.model, "papa", log=log)
    question = of.ask()

    def interrupted() -> None:
        raise error

    monkeypatch.setattr(of.method.optimizer, "step", interrupted)  # after the gradient, before the step
    with pytest.raises(error):
        of.answer(rule(question))
    for act in (of.ask, lambda: of.sample(1), lambda: next(iter(of)), lambda: of.save(log.parent / "aligned")):
        refused(SessionError, act, "interrupted")
    of.close()
    assert torch.equal(finish(session(digits.model, "papa", log=log)), finish(session(digits.model, "papa")))


def test_two_sessions_on_one_log_are_refused(plane: Gmm2d, log: Path) -> None:
    first = session(plane.model, log=log)
    refused(SessionError, lambda: session(plane.model, log=log), "has the log", "`close`")
    first.answer(rule(first.ask()))
    first.close()
    assert session(plane.model, log=log).logged == 1


SECOND = """
import sys
from papa.log import Log
Log(__import__("pathlib").Path(sys.argv[1]), {})
"""


def test_a_second_process_on_one_log_is_refused(plane: Gmm2d, log: Path) -> None:
    with session(plane.model, log=log):
        before = log.read_bytes()
        second = subprocess.run([sys.executable, "-c", SECOND, str(log)], capture_output=True, text=True, check=False)
        assert second.returncode == 1 and log.read_bytes() == before
        assert "SessionError: another session, of this or of another process" in second.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_child_writes_nothing(plane: Gmm2d, log: Path) -> None:
    with session(plane.model, log=log) as of:
        of.ask()
        before = log.read_bytes()
        if not (child := os.fork()):
            try:
                of.answer([True, False])
            except BaseException:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7 and log.read_bytes() == before
        of.answer([True, False])
        assert len(log.read_text().splitlines()) == 2


def test_a_session_may_be_closed_by_another_thread(plane: Gmm2d, log: Path) -> None:
    opened: list[Session] = []
    thread = threading.Thread(target=lambda: opened.append(session(plane.model, log=log)))
    thread.start()
    thread.join()
    refused(SessionError, lambda: session(plane.model, log=log), "has the log")
    opened[0].close()
    session(plane.model, log=log).close()


def test_a_closed_session_writes_no_more(plane: Gmm2d, log: Path) -> None:
    first = session(plane.model, log=log)
    question = first.ask()
    first.close()
    with session(plane.model, log=log) as second:
        before = log.read_bytes()
        refused(SessionError, lambda: first.answer(rule(question)), "was closed", "open it again")
        assert log.read_bytes() == before and first.round == 0
        assert torch.equal(finish(second), finish(session(plane.model)))


SETTINGS = {"labels": 8, "per_round": 2, "particles": 6, "surrogate": {"epochs": 3}}


def rounds(plane: Gmm2d, log: Path) -> list[tuple[int, bool, Tensor]]:
    """Every round of a session, and samples that are drawn after it."""
    with Session(plane.model, "fkc", seed=3, settings=SETTINGS, log=log) as session:
        return [
            (happened.question.round, happened.replayed, session.sample(4))
            for happened in session.play(lambda question: [True, False])
        ]


def test_samples_between_replayed_rounds_are_those_of_the_first_time(plane: Gmm2d, tmp_path: Path) -> None:
    first = rounds(plane, tmp_path / "log.jsonl")
    again = rounds(plane, tmp_path / "log.jsonl")
    assert [entry[:2] for entry in first] == [(index, False) for index in range(4)]
    assert [entry[:2] for entry in again] == [(index, True) for index in range(4)], "no round is left out"
    assert all(torch.equal(one[2], other[2]) for one, other in zip(first, again, strict=True))


def test_a_replay_that_is_left_early_hides_no_logged_round(plane: Gmm2d, tmp_path: Path) -> None:
    last = rounds(plane, tmp_path / "log.jsonl")[-1][2]
    with Session(plane.model, "fkc", seed=3, settings=SETTINGS, log=tmp_path / "log.jsonl") as session:
        for _ in session.replay():
            break
        assert torch.equal(session.sample(4), last)
