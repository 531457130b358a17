"""A pipeline without judges is complete: every method that fits it runs through a session, without any task."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from support import tiny, tiny_sd15

import papa
from papa.feedback import Question
from papa.methods import METHODS, declaration
from papa.models.interface import Model
from papa.models.pipeline import PipelineModel
from papa.models.settings import PipelineSettings
from papa.session import Session

DIGITS = Path(papa.__file__).parent / "data" / "digits"
FITTING = [method for method in METHODS if not declaration(method).settings().needs_adapter]
TRAINING = [method for method in FITTING if declaration(method).settings().training is not None]


@cache
def model() -> Model:
    return PipelineModel.from_folder(tiny_sd15.pipeline(), PipelineSettings(prompt="a cat", steps=2, chunk=8))


def session(method: str, **given: Any) -> Session:
    settings = tiny.small(declaration(method).settings).model_dump(exclude_unset=True)
    return Session(model(), method, settings=settings, seed=3, **given)


def brighter(question: Question) -> list[bool | None]:
    """A user who likes bright images, and does not answer the first item of the second round."""
    liked: list[bool | None] = (question.images.flatten(1).mean(1) > 0).tolist()
    return [None, *liked[1:]] if question.round == 1 else liked


@pytest.mark.parametrize("method", FITTING)
def test_a_session_is_resumed_from_its_log(method: str, tmp_path: Path) -> None:
    whole = session(method)
    asked = [played.question.latents for played in whole.play(brighter)]
    with session(method, log=tmp_path / "log.jsonl") as begun:
        for _, _ in zip(range(2), begun.play(brighter), strict=False):
            pass
    questions: list[Question] = []
    with session(method, log=tmp_path / "log.jsonl") as resumed:
        rounds = list(resumed.play(lambda question: questions.append(question) or brighter(question)))
        samples = resumed.sample(4)
    assert [played.replayed for played in rounds] == [True, True, False] and len(questions) == 1
    assert all(torch.equal(played.question.latents, other) for played, other in zip(rounds, asked, strict=True))
    assert torch.equal(samples, whole.sample(4)) and torch.isfinite(samples).all()
    assert rounds[0].question.condition == ["a cat"] * 2


@pytest.mark.parametrize("method", TRAINING)
def test_training_leaves_the_model_as_it_was(method: str) -> None:
    before = model().network().state_dict()
    of = session(method)
    list(of.play(lambda question: [index % 2 == 0 for index in range(len(question))]))  # some methods need both answers
    after = model().network().state_dict()
    assert all(torch.equal(before[weight], after[weight]) for weight in before)
    trained = getattr(of.method, {"reward_model": "papa", "distill": "trained"}.get(method, ""), of.method)
    assert any(not torch.equal(before[weight], value) for weight, value in trained.network.state_dict().items())


def test_a_control_uses_the_true_preference() -> None:
    given = {"reward": "true", "particles": 4, "labels": 2, "per_round": 2}
    of = Session(model(), "fkc", settings=given, oracle=lambda images: images.flatten(1).mean(1))
    list(of.play(brighter))
    assert torch.isfinite(of.sample(3)).all()


ALONE = f"""
import sys
import torch
from papa import Session, UNetModel
from papa.methods import METHODS, declaration
from papa.models.settings import SamplingSettings

torch.set_num_threads(1)
few = {{
    "papa": {{"updates": 1, "items": 2}},
    "fkc": {{"particles": 4, "surrogate": {{"epochs": 1}}}},
    "best_of_n": {{"surrogate": {{"epochs": 1}}}},
}}
few["epapa"] = few["papa"]
model = UNetModel.from_folder({str(DIGITS)!r}, settings=SamplingSettings(steps=2, chunk=8))
for method in METHODS:
    if declaration(method).settings().needs_adapter:
        continue
    session = Session(model, method, labels=2, per_round=2, settings=few.get(method))
    for question in session:
        session.answer([True, False])
    assert session.sample(2).shape == (2, 1, 8, 8)
print(*sys.modules, sep="\\n")
"""


@pytest.mark.slow
def test_the_library_runs_without_the_benchmark() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    modules = set(done.stdout.split())
    assert {"papa.session", "papa.methods.papa", "papa.methods.fkc"} <= modules
    assert not {name for name in modules if name.startswith(("papa.benchmark", "papa.paper", "recipes"))}
