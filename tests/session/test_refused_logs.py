"""Logs that are cut, damaged, or of something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.answered import answer_some, finish, session
from support.fakes import Paint
from support.refusals import refused

from papa.benchmark.tasks.digits.task import Digits
from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.errors import SessionError
from papa.log import Log
from papa.models.mixture import Mixture, MixtureModel
from papa.models.settings import PipelineSettings


def test_a_log_cut_anywhere_continues_after_the_whole_rounds(plane: Gmm2d, log: Path) -> None:
    undisturbed = finish(session(plane.model, log=log))
    whole = log.read_bytes()
    second, third = [i + 1 for i, byte in enumerate(whole) if byte == 10][1:3]
    offsets = {*range(second - 2, second + 3), *range(second + 7, third, 60), third - 1, *range(0, second - 2, 120)}
    for offset in sorted(offsets):
        log.unlink()
        log.write_bytes(whole[:offset])
        with session(plane.model, log=log) as again:
            assert again.logged == max(0, whole[:offset].count(b"\n") - 1), offset
            assert torch.equal(finish(again), undisturbed), offset
        assert log.read_bytes() == whole, offset


def test_a_log_cut_anywhere_is_opened_with_the_whole_rounds(plane: Gmm2d, log: Path) -> None:
    """The kill may come at any byte of any append, that of the first line included."""
    finish(session(plane.model, log=log))
    whole = log.read_bytes()
    head, *rounds = whole.splitlines(keepends=True)
    about = {name: value for name, value in json.loads(head).items() if name != "papa"}
    for offset in [*range(0, len(whole), 7), len(whole)]:
        log.write_bytes(whole[:offset])
        again = Log(log, about)
        again.close()
        kept = max(0, whole[:offset].count(b"\n") - 1)
        assert again.rounds == [json.loads(line) for line in rounds[:kept]], offset
        assert log.read_bytes() == b"".join([head, *rounds[:kept]]), offset


def damaged(line: int, change: Callable[[Any], Any]) -> Callable[[list[str]], list[str]]:
    """Another line in its place: what `change` makes of its value."""

    def damage(lines: list[str]) -> list[str]:
        return [json.dumps(change(json.loads(text))) if i == line else text for i, text in enumerate(lines)]

    return damage


DAMAGES: dict[str, Callable[[list[str]], list[str]]] = {
    "no JSON": lambda lines: [lines[0], lines[1][: len(lines[1]) // 2], lines[2]],
    "a round is missing": lambda lines: [lines[0], lines[2]],
    "a round is there twice": lambda lines: [*lines, lines[2]],
    "no first line": lambda lines: lines[1:],
    "no answers": damaged(1, lambda line: {k: v for k, v in line.items() if k != "preference"}),
    "answers in words": damaged(1, lambda line: line | {"preference": ["yes", "no"]}),
    "fewer answers": damaged(1, lambda line: line | {"preference": line["preference"][:1]}),
    "no marks": damaged(1, lambda line: {k: v for k, v in line.items() if k != "marks"}),
    "another kind of question": damaged(1, lambda line: line | {"kind": "pairs"}),
    "a version of the future": damaged(0, lambda line: line | {"papa": 99}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_log_is_refused_and_left_as_it_is(
    plane: Gmm2d, log: Path, damage: Callable[[list[str]], list[str]]
) -> None:
    answer_some(session(plane.model, log=log), 2)
    log.write_text("\n".join(damage(log.read_text().splitlines())) + "\n")
    before = log.read_bytes()

    def opened() -> None:
        with session(plane.model, log=log) as again:
            again.ask()

    refused(SessionError, opened, str(log))
    assert log.read_bytes() == before


@pytest.mark.parametrize("content", [b"my notes", b"{}", b"\xff\xfe\n"])
def test_a_file_that_is_no_log_is_not_overwritten(plane: Gmm2d, log: Path, content: bytes) -> None:
    log.write_bytes(content)
    refused(SessionError, lambda: session(plane.model, log=log), "log", str(log))
    assert log.read_bytes() == content


def test_a_log_with_line_ends_of_another_system_is_the_same_log(plane: Gmm2d, log: Path) -> None:
    answer_some(session(plane.model, log=log), 2)
    log.write_bytes(log.read_bytes().replace(b"\n", b"\r\n"))
    assert torch.equal(finish(session(plane.model, log=log)), finish(session(plane.model)))


def test_a_folder_is_no_log(plane: Gmm2d, tmp_path: Path) -> None:
    refused(SessionError, lambda: session(plane.model, log=tmp_path), "cannot read", str(tmp_path))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"method": "base"}, ("method is 'fkc' in the log and 'base' here",)),
        ({"labels": 6}, ("settings.labels is 5 in the log and 6 here",)),
        ({"settings": {"surrogate": {"lr": 0.5}}}, ("settings.surrogate.lr is 0.001 in the log and 0.5 here",)),
        ({"about": {"person": "you"}}, ("person is None in the log and 'you' here",)),
    ],
    ids=str,
)
def test_a_log_of_another_session_is_refused_with_the_difference(
    plane: Gmm2d, log: Path, other: dict[str, Any], words: tuple[str, ...]
) -> None:
    answer_some(session(plane.model, log=log), 1)
    before = log.read_bytes()
    refused(SessionError, lambda: session(plane.model, **({"log": log} | other)), "of another session", *words)
    assert log.read_bytes() == before
    assert session(plane.model, log=log).logged == 1  # the refusal released the log


def test_a_log_of_a_model_that_shows_other_items_is_refused(plane: Gmm2d, digits: Digits, log: Path) -> None:
    answer_some(session(plane.model, log=log), 1)
    moved = Mixture(plane.mixture.weights, plane.mixture.means + 0.5, plane.mixture.covariances)
    for model in (MixtureModel(moved, steps=5), MixtureModel(plane.mixture, steps=6), digits.model):
        with session(model, log=log) as again:
            refused(SessionError, again.ask, "round 1 of", "other items than this model shows", "Use the model")
    with session(MixtureModel(plane.mixture, steps=5), log=log) as again:
        assert again.ask().round == 1  # another object, the same model


def test_a_log_of_another_prompt_is_refused_with_the_prompts(log: Path) -> None:
    answer_some(session(Paint(PipelineSettings(prompt="an apple")), "base", log=log), 1)
    with session(Paint(PipelineSettings(prompt="a pear")), "base", log=log) as again:
        refused(SessionError, again.ask, "['an apple', 'an apple'] in the log and ['a pear', 'a pear'] here")
