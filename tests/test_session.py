"""A session: the loop, the answers, the log that outlives a crash, and what is refused."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline
from support import tiny
from support.fakes import Paint
from support.refusals import refused
from torch import Tensor

from papa.benchmark.tasks.digits import DigitsSettings
from papa.benchmark.tasks.digits.task import Digits
from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.errors import AnswerError, ModelError, PapaError, SessionError, SettingsError
from papa.feedback import Query, Question, Tie
from papa.log import Log
from papa.methods import METHODS, declaration
from papa.methods.base.method import Base
from papa.models.interface import Model
from papa.models.mixture import Mixture, MixtureModel
from papa.models.settings import PipelineSettings
from papa.session import Session

ROUNDS = 3  # of 5 labels, 2 in a round: the last one has a single item

# The model of these tests comes without an adapter; tests/methods has sessions of those that need one.
ALONE = [name for name in METHODS if not declaration(name).settings().needs_adapter]


def session(model: Model, method: str = "fkc", **given: Any) -> Session:
    """A small session; what is given goes to `Session`, settings beside the small ones."""
    known = declaration(method).settings.model_fields
    small = {name: value for name, value in tiny.SMALL.items() if name in known}
    return Session(model, method, **(given | {"settings": small | given.get("settings", {})}))


def rule(question: Question) -> list[bool | float | None]:
    """Somebody who likes bright pictures, with a grade and a missing answer among them."""
    bright = question.images.flatten(1).mean(1) > question.images.mean()
    return [None if (question.round, i) == (1, 1) else bool(b) if i else 0.25 + b / 2 for i, b in enumerate(bright)]


def finish(of: Session, n: int = 4) -> Tensor:
    """Answer all that is left, and draw."""
    for question in of:
        of.answer(rule(question))
    return of.sample(n)


def answer_some(of: Session, rounds: int) -> None:
    """Answer the next rounds, and close."""
    for _ in range(rounds):
        of.answer(rule(of.ask()))
    of.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "me.jsonl"


# ---------------------------------------------------------------- the loop


def test_the_loop_asks_until_the_labels_are_spent(plane: Gmm2d) -> None:
    of, sizes = session(plane.model), []
    for question in of:
        assert of.round == question.round == len(sizes)
        assert question.kind == "binary" and question.condition is None
        assert len(question) == len(question.images) == len(question.latents)
        sizes.append(len(question))
        of.answer(rule(question))
    assert sizes == [2, 2, 1] and of.round == of.rounds == ROUNDS
    assert list(of) == []
    refused(SessionError, of.ask, "all 5 labels")


def test_the_budget_given_by_name_wins_over_the_settings(plane: Gmm2d) -> None:
    of = session(plane.model, labels=7, per_round=3)
    assert [len(happened.question) for happened in of.play(rule)] == [3, 3, 1]


def test_every_label_is_shown_and_answered_once(plane: Gmm2d) -> None:
    happened = list(session(plane.model).play(rule))
    assert [len(r.feedback.liking) for r in happened] == [2, 2, 1] and not any(r.replayed for r in happened)
    items = torch.cat([r.question.latents for r in happened])
    assert len(items.unique(dim=0)) == 5


def test_a_question_stays_the_same_until_it_is_answered(plane: Gmm2d) -> None:
    of = session(plane.model)
    first = of.ask()
    assert of.ask() is first and next(iter(of)) is first
    of.answer(rule(first))
    assert of.ask() is not first and of.ask().round == 1


def test_an_unanswered_question_stops_the_loop_and_is_asked_again(plane: Gmm2d) -> None:
    of, seen = session(plane.model), []

    def forgetful() -> None:
        for question in of:
            seen.append(question)

    refused(SessionError, forgetful, "question 1 was not answered", "`answer`")
    assert len(seen) == 1 and of.ask() is seen[0]


def test_an_answer_without_a_question_is_refused(plane: Gmm2d) -> None:
    of = session(plane.model)
    refused(SessionError, lambda: of.answer([True, True]), "no open question", "`ask`")
    of.answer(rule(of.ask()))
    refused(SessionError, lambda: of.answer([True, True]), "no open question")
    assert of.round == 1


def test_settings_that_do_not_fit_are_refused(plane: Gmm2d) -> None:
    refused(SettingsError, lambda: session(plane.model, "best_of_m"), "did you mean 'best_of_n'")
    refused(SettingsError, lambda: session(plane.model, settings={"lables": 3}), "did you mean 'labels'")
    refused(SettingsError, lambda: session(plane.model, labels=0), "labels")
    refused(SettingsError, lambda: session(plane.model, "fkc", settings={"reward": "true"}), "give `oracle`")
    refused(ModelError, lambda: session(plane.model, "papa"), "no network to fine-tune")


def test_the_seed_decides_and_nothing_else(plane: Gmm2d) -> None:
    once, again, other = (finish(session(plane.model, seed=seed)) for seed in (3, 3, 4))
    assert torch.equal(once, again) and not torch.equal(once, other)


# ---------------------------------------------------------------- answers


WRONG: list[Any] = [
    [1, -1],
    [5, 3],
    [True],
    [True, False, True],
    ["yes", "no"],
    ["1", "0"],
    "10",
    None,
    [[True], [False]],
    [(0, 1), (1, 0)],
    [Tie(0, 1), Tie(0, 1)],
    np.ones((2, 1)),
    {0: True, 1: False},
]


def test_wrong_answers_leave_the_question_open_and_the_log_alone(plane: Gmm2d, log: Path) -> None:
    of = session(plane.model, log=log)
    question, before = of.ask(), log.read_bytes()
    for answers in WRONG:
        refused(AnswerError, lambda answers=answers: of.answer(answers))
        assert of.ask() is question and of.round == 0 and log.read_bytes() == before, answers
    assert torch.equal(finish(of), finish(session(plane.model)))


def test_answers_of_every_kind_of_number_mean_the_same(plane: Gmm2d) -> None:
    def told(*answers: Any) -> Tensor:
        of = session(plane.model, labels=2)
        of.ask()
        of.answer(*answers)
        return of.sample(8)

    yes_no = told([True, False])
    for same in ((1, 0), np.array([True, False]), np.array([1.0, 0.0]), torch.tensor([1, 0])):
        assert torch.equal(told(same), yes_no)
    assert torch.equal(told([True, None]), told([True, float("nan")]))
    assert not torch.equal(told([False, True]), yes_no)


class AsksForPairs(Base):
    """The base, asking which of its items are better; it keeps what it was told."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.told: list[Any] = []

    def ask(self, k: int) -> Query:
        asked = super().ask(k)
        return Query(asked.latents, asked.condition, "pairs")

    def learn(self, query: Query, feedback: Any) -> None:
        self.told.append((feedback.pairs.tolist(), feedback.ties.tolist()))


def test_pairs_and_ties_are_answered_logged_and_replayed(
    plane: Gmm2d, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("papa.methods.base.method.Base", AsksForPairs)
    of = session(plane.model, "base", per_round=4, labels=8, log=log)
    assert of.ask().kind == "pairs"
    for wrong in ([True] * 4, [(0, 4)], [(1, 1)], [(0.5, 1)], [Tie(0, 9)], "01"):
        refused(AnswerError, lambda wrong=wrong: of.answer(wrong))
    of.answer([(0, 1), Tie(2, 3), [3, 1]])
    of.ask()
    of.answer([])  # none of them compared
    told: Any = of.method
    assert told.told == [([[0, 1], [3, 1]], [[2, 3]]), ([], [])]
    of.close()
    again = session(plane.model, "base", per_round=4, labels=8, log=log)
    assert [r.replayed for r in again.replay()] == [True, True]
    replayed: Any = again.method
    assert replayed.told == told.told


class AsksForPreferences(AsksForPairs):
    """A method that learns from preferences alone."""

    def check(self, query: Query, feedback: Any) -> None:
        super().check(query, feedback)
        if len(feedback.ties):
            raise AnswerError("this method learns from no ties")


def test_answers_that_only_this_method_refuses_are_not_in_the_log(
    plane: Gmm2d, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("papa.methods.base.method.Base", AsksForPreferences)
    of = session(plane.model, "base", per_round=4, labels=8, log=log)
    of.ask()
    refused(AnswerError, lambda: of.answer([Tie(2, 3)]))
    of.answer([(0, 1)])
    of.close()
    assert [r.replayed for r in session(plane.model, "base", per_round=4, labels=8, log=log).replay()] == [True]


# ---------------------------------------------------------------- sampling


@pytest.mark.parametrize("method", ALONE)
def test_sampling_changes_nothing_that_was_learned(digits: Digits, method: str) -> None:
    of = session(digits.model, method)
    for question in of:
        assert torch.equal(of.sample(3), of.sample(3)) and of.ask() is question
        of.answer(rule(question))
    assert torch.equal(of.sample(4), finish(session(digits.model, method)))


# ---------------------------------------------------------------- resume


@pytest.mark.parametrize("method", ALONE)
@pytest.mark.parametrize("after", [1, 2, ROUNDS])
def test_a_session_goes_on_with_the_same_bits(digits: Digits, log: Path, method: str, after: int) -> None:
    undisturbed = finish(session(digits.model, method))
    answer_some(session(digits.model, method, log=log), after)
    again = session(digits.model, method, log=log)
    assert again.logged == after and again.round == 0
    happened = list(again.play(rule))
    assert [r.replayed for r in happened] == [i < after for i in range(ROUNDS)]
    assert torch.equal(again.sample(4), undisturbed)
    assert len(log.read_text().splitlines()) == 1 + ROUNDS


@pytest.mark.parametrize("act", [lambda of: of.ask(), lambda of: of.sample(1), lambda of: next(iter(of))])
def test_whatever_is_done_first_replays_the_log(plane: Gmm2d, log: Path, act: Callable[[Session], Any]) -> None:
    answer_some(session(plane.model, log=log), 2)
    again = session(plane.model, log=log)
    act(again)
    assert again.round == 2
    assert torch.equal(finish(again), finish(session(plane.model)))


def test_a_log_holds_what_was_said_and_no_path(plane: Gmm2d, log: Path) -> None:
    of = session(plane.model, log=log, seed=7, about={"person": "me"})
    for question in of:
        held = log.read_text().splitlines()
        assert len(held) == 1 + question.round  # answered rounds are there before the next question
        of.answer(rule(question))
    head, *rounds = map(json.loads, log.read_text().splitlines())
    assert head["papa"] == 1 and head["method"] == "fkc" and head["seed"] == 7 and head["person"] == "me"
    assert head["settings"]["labels"] == 5
    assert [line["round"] for line in rounds] == [0, 1, 2]
    assert rounds[1]["liking"][1] is None and rounds[0]["liking"][0] in (0.25, 0.75)
    assert all(len(line["marks"]) == len(line["liking"]) for line in rounds)
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
def test_a_round_that_was_half_learned_is_not_gone_on_with(
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
        refused(SessionError, act, "interrupted", "Make the session again")
    of.close()
    assert torch.equal(finish(session(digits.model, "papa", log=log)), finish(session(digits.model, "papa")))


# ---------------------------------------------------------------- logs that are cut or damaged


def test_a_log_cut_at_any_byte_goes_on_with_the_whole_rounds(plane: Gmm2d, log: Path) -> None:
    undisturbed = finish(session(plane.model, log=log))
    whole = log.read_bytes()
    second, third = [i + 1 for i, byte in enumerate(whole) if byte == 10][1:3]
    offsets = {*range(second - 2, second + 3), *range(second + 7, third, 20), third - 1, *range(0, second - 2, 40)}
    for offset in sorted(offsets):
        log.unlink()
        log.write_bytes(whole[:offset])
        with session(plane.model, log=log) as again:
            assert again.logged == max(0, whole[:offset].count(b"\n") - 1), offset
            assert torch.equal(finish(again), undisturbed), offset
        assert log.read_bytes() == whole, offset


def test_a_log_cut_at_every_byte_is_opened_with_the_whole_rounds(plane: Gmm2d, log: Path) -> None:
    """The kill may come at any byte of any append, that of the first line included."""
    finish(session(plane.model, log=log))
    whole = log.read_bytes()
    head, *rounds = whole.splitlines(keepends=True)
    about = {name: value for name, value in json.loads(head).items() if name != "papa"}
    for offset in range(len(whole) + 1):
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
    "an empty line": lambda lines: [lines[0], "", *lines[1:]],
    "a round is missing": lambda lines: [lines[0], lines[2]],
    "a round is there twice": lambda lines: [*lines, lines[2]],
    "rounds in another order": lambda lines: [lines[0], lines[2], lines[1]],
    "no first line": lambda lines: lines[1:],
    "a list": damaged(1, lambda line: [line]),
    "null": damaged(1, lambda line: None),
    "no answers": damaged(1, lambda line: {k: v for k, v in line.items() if k != "liking"}),
    "answers that are no list": damaged(1, lambda line: line | {"liking": 1}),
    "answers out of range": damaged(1, lambda line: line | {"liking": [-1, 1]}),
    "answers in text": damaged(1, lambda line: line | {"liking": ["1", "0"]}),
    "nested answers": damaged(1, lambda line: line | {"liking": [[1], [0]]}),
    "too few answers": damaged(1, lambda line: line | {"liking": [1]}),
    "pairs of fractions": damaged(1, lambda line: line | {"pairs": [[0.5, 1.5]]}),
    "no marks": damaged(1, lambda line: {k: v for k, v in line.items() if k != "marks"}),
    "marks of fewer items": damaged(1, lambda line: line | {"marks": line["marks"][:1]}),
    "marks of two lengths": damaged(1, lambda line: line | {"marks": [[0.0], [0.0, 1.0]]}),
    "marks in words": damaged(1, lambda line: line | {"marks": "bright"}),
    "marks that are no numbers": damaged(1, lambda line: line | {"marks": [[None, None], [None, None]]}),
    "another kind of question": damaged(1, lambda line: line | {"kind": "pairs"}),
    "a version of the future": damaged(0, lambda line: line | {"papa": 99}),
    "a first line that is a list": damaged(0, lambda line: [line]),
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


@pytest.mark.parametrize("content", [b"my notes", b"{}", b"\x00\xff\x00", b"notes\nof two lines\n", b"\xff\xfe\n"])
def test_somebodys_file_that_is_no_log_is_not_written_over(plane: Gmm2d, log: Path, content: bytes) -> None:
    log.write_bytes(content)
    refused(SessionError, lambda: session(plane.model, log=log), "log", str(log))
    assert log.read_bytes() == content


def test_a_log_with_line_ends_of_another_system_is_the_same_log(plane: Gmm2d, log: Path) -> None:
    answer_some(session(plane.model, log=log), 2)
    log.write_bytes(log.read_bytes().replace(b"\n", b"\r\n"))
    assert torch.equal(finish(session(plane.model, log=log)), finish(session(plane.model)))


def test_a_folder_is_no_log(plane: Gmm2d, tmp_path: Path) -> None:
    refused(SessionError, lambda: session(plane.model, log=tmp_path), "cannot read", str(tmp_path))


# ---------------------------------------------------------------- logs of something else


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"method": "base"}, ("method is 'fkc' in the log and 'base' here",)),
        ({"seed": 1}, ("seed is 0 in the log and 1 here",)),
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
    assert session(plane.model, log=log).logged == 1  # the refusal let go of the log


def test_a_log_of_a_model_that_shows_other_items_is_refused(plane: Gmm2d, digits: Digits, log: Path) -> None:
    answer_some(session(plane.model, log=log), 1)
    moved = Mixture(plane.mixture.weights, plane.mixture.means + 0.5, plane.mixture.covariances)
    for model in (MixtureModel(moved, steps=5), MixtureModel(plane.mixture, steps=6), digits.model):
        with session(model, log=log) as again:
            refused(SessionError, again.ask, "round 1 of", "other items than this model shows", "Use the model")
    with session(MixtureModel(plane.mixture, steps=5), log=log) as again:
        assert again.ask().round == 1  # another object, the same model


def test_images_of_a_model_with_other_steps_are_told_apart(digits: Digits, log: Path) -> None:
    answer_some(session(digits.model, log=log), 1)
    with session(Digits(DigitsSettings(steps=4)).model, log=log) as again:
        refused(SessionError, again.ask, "other items than this model shows")


def test_a_log_of_another_prompt_is_refused_with_the_prompts(log: Path) -> None:
    answer_some(session(Paint(PipelineSettings(prompt="an apple")), "base", log=log), 1)
    with session(Paint(PipelineSettings(prompt="a pear")), "base", log=log) as again:
        refused(SessionError, again.ask, "['an apple', 'an apple'] in the log and ['a pear', 'a pear'] here")


# ---------------------------------------------------------------- two at once


def test_two_sessions_on_one_log_are_refused(plane: Gmm2d, log: Path) -> None:
    first = session(plane.model, log=log)
    refused(SessionError, lambda: session(plane.model, log=log), "has the log", "`close`")
    first.answer(rule(first.ask()))
    first.close()
    assert session(plane.model, log=log).logged == 1


SECOND = """
import sys
from papa import MixtureModel, Session
from papa.models.mixture import Mixture
import torch
model = MixtureModel(Mixture(torch.ones(1), torch.zeros(1, 2), torch.eye(2)[None]), steps=5)
Session(model, "best_of_n", log=sys.argv[1])
"""


def test_a_second_process_on_one_log_is_refused(plane: Gmm2d, log: Path) -> None:
    with session(plane.model, log=log):
        before = log.read_bytes()
        second = subprocess.run([sys.executable, "-c", SECOND, str(log)], capture_output=True, text=True, check=False)
        assert second.returncode == 1 and log.read_bytes() == before
        assert "SessionError: another session, of this or of another process" in second.stderr


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


# ---------------------------------------------------------------- a full disk


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond this size: a write takes what fits and the next one fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def no_sync() -> Iterator[None]:
    """The disk is found to be full only when the line is to be on it."""

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        yield


@contextmanager
def no_open() -> Iterator[None]:
    """Not even opened."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("papa.log.open", full, raising=False)
        yield


FULL: dict[str, Callable[[Path], Any]] = {
    "a part of the line fits": lambda log: largest_file(log.stat().st_size + 20),
    "nothing fits": lambda log: largest_file(log.stat().st_size),
    "at fsync": lambda log: no_sync(),
    "at open": lambda log: no_open(),
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


def test_a_log_that_somebody_deleted_is_not_begun_in_the_middle(plane: Gmm2d, log: Path) -> None:
    of = session(plane.model, log=log)
    of.ask()
    log.unlink()
    refused(PapaError, lambda: of.answer([True, False]), "cannot write", str(log))
    assert not log.exists() and of.round == 0


def test_a_log_below_a_file_is_refused(plane: Gmm2d, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(PapaError, lambda: session(plane.model, log=tmp_path / "file" / "me.jsonl"), "cannot write")


# ---------------------------------------------------------------- killed


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


# ---------------------------------------------------------------- saving


def test_a_saved_folder_is_loaded_by_diffusers(digits: Digits, tmp_path: Path) -> None:
    of = session(digits.model, "papa", settings={"lr": 1e-2}, seed=2)
    finish(of)
    place = of.save(tmp_path / "new" / "aligned", {"person": "me"})
    pipe = DDPMPipeline.from_pretrained(place)
    tuned = dict(pipe.unet.named_parameters())
    for name, parameter in of.method.aligned().named_parameters():
        assert torch.equal(tuned[name], parameter), name
    base = digits.model.network().state_dict()
    assert any(not torch.equal(parameter, base[name]) for name, parameter in tuned.items())
    assert pipe(batch_size=1, num_inference_steps=2, output_type="np").images.shape[1:3] == (8, 8)
    about = json.loads((place / "papa.json").read_text())
    assert about["method"] == "papa" and about["seed"] == 2 and about["person"] == "me" and about["steps"] == 3
    assert [file.name for file in place.parent.iterdir()] == ["aligned"]


def test_saving_replays_the_log_first(digits: Digits, log: Path, tmp_path: Path) -> None:
    of = session(digits.model, "papa", log=log)
    finish(of)
    of.close()
    one = of.save(tmp_path / "one")
    other = session(digits.model, "papa", log=log).save(tmp_path / "other")
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert (one / weights).read_bytes() == (other / weights).read_bytes()


def test_an_empty_folder_is_a_place_and_a_taken_one_is_not(digits: Digits, tmp_path: Path) -> None:
    of = session(digits.model, "papa")
    (tmp_path / "empty").mkdir()
    of.save(tmp_path / "empty")
    (tmp_path / "file").write_text("mine")
    before = {file.name for file in tmp_path.iterdir()}
    refused(SessionError, lambda: of.save(tmp_path / "empty"), "is there already", "choose another folder")
    refused(SessionError, lambda: of.save(tmp_path / "file"), "is there already")
    assert (tmp_path / "file").read_text() == "mine" and {file.name for file in tmp_path.iterdir()} == before


def test_a_save_on_a_full_disk_leaves_nothing_behind(digits: Digits, tmp_path: Path) -> None:
    of = session(digits.model, "papa")
    with largest_file(5000):
        refused(PapaError, lambda: of.save(tmp_path / "aligned"), "cannot write", "The answers are kept")
    assert list(tmp_path.iterdir()) == []
    DDPMPipeline.from_pretrained(of.save(tmp_path / "aligned"))


@pytest.mark.parametrize("method", ["base", "best_of_n", "fkc"])
def test_what_cannot_be_saved_says_so(digits: Digits, tmp_path: Path, method: str) -> None:
    of = session(digits.model, method)
    refused(PapaError, lambda: of.save(tmp_path / "aligned"))
    assert list(tmp_path.iterdir()) == []
