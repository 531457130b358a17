"""A model without judges is complete: every method that fits it runs through a session, without any task."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import tiny, tiny_sd15
from support.nets import scheduler, small_unet
from support.refusals import refused

import papa
from papa.errors import ModelError
from papa.feedback import Question
from papa.methods import METHODS, declaration
from papa.models.interface import Model
from papa.models.mixture import Mixture, MixtureModel
from papa.models.pipeline import PipelineModel
from papa.models.settings import PipelineSettings, SamplingSettings
from papa.models.unet import UNetModel
from papa.session import Session

DIGITS = Path(papa.__file__).parent / "data" / "digits"
FEW = SamplingSettings(steps=2, chunk=8)


def digits() -> Model:
    return UNetModel.from_folder(DIGITS, settings=FEW)


def unet() -> Model:
    return UNetModel(small_unet(), scheduler(), FEW, clip=None)


def pipeline() -> Model:
    return PipelineModel.from_folder(tiny_sd15.pipeline(), PipelineSettings(prompt="a cat", steps=2, chunk=8))


def mixture() -> Model:
    means = torch.tensor([[-1.0, 0.0, 0.0], [1.0, 0.5, 0.0]])
    return MixtureModel(Mixture(torch.ones(2), means, 0.1 * torch.eye(3).expand(2, 3, 3)), steps=4)


MODELS: dict[str, Callable[[], Model]] = {
    "digits": digits,
    "unet": unet,
    "pipeline": pipeline,
    "mixture": mixture,
}


@cache
def model(name: str) -> Model:
    return MODELS[name]()


def trains(method: str) -> bool:
    return declaration(method).settings().training is not None


ALL = [method for method in METHODS if not declaration(method).settings().needs_adapter]
"""None of these models has a user adapter."""
FITTING = [(method, name) for method in ALL for name in MODELS if name != "mixture" or not trains(method)]
fitting = pytest.mark.parametrize(("method", "name"), FITTING)


def session(method: str, name: str, **given: Any) -> Session:
    settings = tiny.small(declaration(method).settings).model_dump(exclude_unset=True)
    return Session(model(name), method, settings=settings, seed=3, **given)


def brighter(question: Question) -> list[bool | None]:
    """Somebody who likes what is bright, and does not answer the first item of the second round."""
    liked: list[bool | None] = (question.images.flatten(1).mean(1) > 0).tolist()
    return [None, *liked[1:]] if question.round == 1 else liked


@fitting
def test_a_whole_session_and_its_samples(method: str, name: str) -> None:
    of = session(method, name)
    happened = list(of.play(brighter))
    assert [len(played.question) for played in happened] == [2, 2, 1] and of.round == of.rounds == 3
    assert np.isnan(happened[1].feedback.preference).tolist() == [True, False]
    images = of.sample(5)
    assert images.shape == (5, *happened[0].question.images.shape[1:]) and torch.isfinite(images).all()
    assert torch.equal(of.sample(5), images)
    assert happened[0].question.condition == ([model(name).prompt] * 2 if model(name).prompt else None)


@fitting
def test_a_session_is_resumed_from_its_log(method: str, name: str, tmp_path: Path) -> None:
    whole = session(method, name)
    asked = [played.question.latents for played in whole.play(brighter)]
    with session(method, name, log=tmp_path / "log.jsonl") as begun:
        for _, _ in zip(range(2), begun.play(brighter), strict=False):
            pass
    questions: list[Question] = []
    with session(method, name, log=tmp_path / "log.jsonl") as resumed:
        rounds = list(resumed.play(lambda question: questions.append(question) or brighter(question)))
        samples = resumed.sample(4)
    assert [played.replayed for played in rounds] == [True, True, False] and len(questions) == 1
    assert all(torch.equal(played.question.latents, other) for played, other in zip(rounds, asked, strict=True))
    assert torch.equal(samples, whole.sample(4))


@pytest.mark.parametrize("method", [method for method in ALL if trains(method)])
def test_a_method_that_trains_a_network_is_refused_where_there_is_none(method: str) -> None:
    refused(ModelError, lambda: session(method, "mixture"), "no network", "fkc")


@pytest.mark.parametrize("name", MODELS)
def test_answers_change_what_is_drawn(name: str) -> None:
    """What somebody says reaches the result, on every model."""

    def drawn(answer: bool) -> torch.Tensor:
        settings = {"labels": 4, "per_round": 2, "particles": 8, "beta_max": 1000.0}  # so that a little learned shows
        of = Session(model(name), "fkc", settings=settings, seed=3)
        list(of.play(lambda question: [answer if index else not answer for index in range(len(question))]))
        return of.sample(8)

    assert not torch.equal(drawn(True), drawn(False))


@pytest.mark.parametrize("name", [name for name in MODELS if name != "mixture"])
@pytest.mark.parametrize("method", [method for method in ALL if trains(method)])
def test_training_leaves_the_model_as_it_was(method: str, name: str) -> None:
    before = model(name).network().state_dict()
    of = session(method, name)
    list(of.play(lambda question: [index % 2 == 0 for index in range(len(question))]))  # some methods need both answers
    after = model(name).network().state_dict()
    assert all(torch.equal(before[weight], after[weight]) for weight in before)
    trained = getattr(of.method, {"reward_model": "papa", "distill": "trained"}.get(method, ""), of.method)
    assert any(not torch.equal(before[weight], value) for weight, value in trained.network.state_dict().items())


@pytest.mark.parametrize("name", MODELS)
def test_a_control_is_handed_the_true_preference_by_whoever_has_it(name: str) -> None:
    given = {"reward": "true", "particles": 4, "labels": 2, "per_round": 2}
    of = Session(model(name), "fkc", settings=given, oracle=lambda images: images.flatten(1).mean(1))
    list(of.play(brighter))
    assert torch.isfinite(of.sample(3)).all()


@pytest.mark.parametrize("name", [name for name in MODELS if name != "pipeline"])
def test_a_model_without_prompts_says_so(name: str) -> None:
    refused(ModelError, lambda: model(name).prompted("a dog"), "does not support prompts")


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


def test_the_library_runs_without_the_benchmark() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    modules = set(done.stdout.split())
    assert {"papa.session", "papa.methods.papa", "papa.methods.fkc"} <= modules
    assert not {name for name in modules if name.startswith(("papa.benchmark", "papa.paper", "recipes"))}
