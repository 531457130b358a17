"""What is looked at between replayed rounds is what was learned up to there."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.session import Session

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
    assert [entry[:2] for entry in again] == [(index, True) for index in range(4)], "no round is swallowed"
    assert all(torch.equal(one[2], other[2]) for one, other in zip(first, again, strict=True))


def test_a_loop_that_is_left_early_hides_no_logged_round(plane: Gmm2d, tmp_path: Path) -> None:
    last = rounds(plane, tmp_path / "log.jsonl")[-1][2]
    with Session(plane.model, "fkc", seed=3, settings=SETTINGS, log=tmp_path / "log.jsonl") as session:
        for _ in session.replay():
            break
        assert torch.equal(session.sample(4), last)
