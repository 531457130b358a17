"""A session on a disk that is full, and a log that cannot be written."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from support.answered import finish, rule, session
from support.full_disk import largest_file
from support.refusals import refused

from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.errors import PapaError


@contextmanager
def full_at(function: str) -> Iterator[None]:
    """The disk is full when this function is called."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(function, full, raising=False)
        yield


FULL: dict[str, Callable[[Path], Any]] = {
    "a part of the line fits": lambda log: largest_file(log.stat().st_size + 20),
    "nothing fits": lambda log: largest_file(log.stat().st_size),
    "at fsync": lambda log: full_at("os.fsync"),
    "at open": lambda log: full_at("papa.log.open"),
}


@pytest.mark.parametrize("full", FULL.values(), ids=FULL.keys())
def test_a_full_disk_learns_nothing_and_the_question_stays(
    plane: Gmm2d, log: Path, full: Callable[[Path], Any]
) -> None:
    of = session(plane.model, log=log)
    of.answer(rule(of.ask()))
    question, before = of.ask(), log.read_bytes()
    for _ in range(2):
        with full(log):
            refused(PapaError, lambda: of.answer(rule(question)), "cannot write", "Free disk space")
        assert log.read_bytes() == before and of.round == 1 and of.ask() is question
    assert torch.equal(finish(of), finish(session(plane.model)))
    of.close()
    assert torch.equal(finish(session(plane.model, log=log)), finish(session(plane.model)))


def test_a_full_disk_at_the_start_leaves_a_log_that_can_be_begun(plane: Gmm2d, log: Path) -> None:
    with largest_file(20):
        refused(PapaError, lambda: session(plane.model, log=log), "cannot write")
    assert not log.exists() or log.read_bytes() == b""
    assert torch.equal(finish(session(plane.model, log=log)), finish(session(plane.model)))


def test_a_deleted_log_is_not_begun_in_the_middle(plane: Gmm2d, log: Path) -> None:
    of = session(plane.model, log=log)
    of.ask()
    log.unlink()
    refused(PapaError, lambda: of.answer([True, False]), "cannot write", str(log))
    assert not log.exists() and of.round == 0


def test_a_log_below_a_file_is_refused(plane: Gmm2d, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(PapaError, lambda: session(plane.model, log=tmp_path / "file" / "me.jsonl"), "cannot write")
