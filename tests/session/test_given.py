"""Sessions that begin with labels of existing images: learning, the log, and which methods can."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import tiny
from support.every_method import task_of
from support.full_disk import largest_file
from support.rated import Grey, csv_file, encoded, files, folder, pixels
from support.refusals import refused
from torch import Tensor

from papa import Labels, Session, load_labels
from papa.benchmark.tasks.digits.task import Digits
from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.errors import DivergedError, LabelsError, ModelError, PapaError, SessionError
from papa.labels import encode
from papa.methods import METHODS, declaration
from papa.models.interface import Model

LIGHT: dict[str, Any] = {"surrogate": {"epochs": 1, "channels": 2}, "n": 2}
QUICK = {"labels": 2, "per_round": 2}


def quick(given_labels: Labels | None, log: Path | None = None, **given: Any) -> Session:
    """A session of a few milliseconds: one question, on a model without a network."""
    return Session(Grey(), "best_of_n", given=given_labels, log=log, **({"settings": LIGHT} | QUICK | given))


def finish(of: Session, n: int = 4) -> Tensor:
    """Answer all remaining questions, and sample."""
    for question in of:
        of.answer([bool(i % 2) for i in range(len(question))])
    return of.sample(n)


@pytest.fixture
def rated(tmp_path: Path) -> Labels:
    return load_labels(folder(tmp_path / "rated"))


def test_given_labels_come_before_the_first_question_and_cost_none(rated: Labels) -> None:
    of, told = quick(rated, labels=5), []
    tell = of.method.tell
    of.method.tell = lambda *said: (told.append(said), tell(*said))[0]  # type: ignore[method-assign,assignment]
    sizes = []
    for question in of:
        assert question.round == of.round == len(sizes)
        sizes.append(len(question))
        of.answer([True] * len(question))
    assert sizes == [2, 2, 1] and of.round == of.rounds == 3 and of.method.round == of.method.rounds == 4
    query, feedback = told[0]
    assert feedback.preference.tolist() == [1, 1, 1, 0, 0, 0] and query.kind == "graded"
    resized = [Image.fromarray(pixels(i % 3, i < 3)).resize((8, 8), Image.Resampling.BICUBIC) for i in range(6)]
    expected = torch.tensor([np.asarray(image).mean() for image in resized], dtype=torch.float32)
    assert torch.allclose((query.latents.mean((1, 2, 3)) + 1) * 127.5, expected, atol=1)


def test_images_are_fitted_by_their_centre(tmp_path: Path) -> None:
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = pixels(0)
    (tmp_path / "liked").mkdir()
    (tmp_path / "liked" / "wide.png").write_bytes(encoded(wide))
    (tmp_path / "liked" / "tall.png").write_bytes(encoded(wide.swapaxes(0, 1)))
    tall, broad = encode(load_labels(tmp_path), Grey()).query.latents
    assert (tall[0] - broad[0].T).abs().max() < 0.02 and broad.mean() > 0.3


def test_what_cannot_be_given_is_refused_at_once_and_leaves_no_log(
    tmp_path: Path, rated: Labels, plane: Gmm2d, log: Path
) -> None:
    refused(ModelError, lambda: Session(plane.model, "fkc", given=rated, log=log))
    refused(ModelError, lambda: plane.model.encode(torch.zeros(1, 3, 8, 8)))
    path: Any = tmp_path / "rated"
    refused(LabelsError, lambda: quick(path, log), "papa.load_labels")
    (path / "liked" / "1.png").write_bytes(encoded(pixels(1))[:300])
    refused(LabelsError, lambda: quick(load_labels(path), log), "liked/1.png")
    assert not log.exists()


def test_a_session_resumes_with_the_same_bits_and_its_log_names_no_path(rated: Labels, log: Path) -> None:
    undisturbed = finish(quick(rated, labels=5))
    for answered in (0, 1, 2):
        log.unlink(missing_ok=True)
        with quick(rated, log, labels=5) as of:
            assert len(log.read_text().splitlines()) == 2, "it is there before anything is learned"
            for _ in range(answered):
                of.answer([bool(i % 2) for i in range(len(of.ask()))])
        with quick(rated, log, labels=5) as again:
            assert again.logged == answered and torch.equal(finish(again), undisturbed)
    _, line, *rounds = map(json.loads, log.read_text().splitlines())
    assert line["given"] == 6 and line["kind"] == "grades" and line["preference"] == [1, 1, 1, 0, 0, 0]
    assert len(line["sha256"]) == 64 and len(line["images"]) == 6 and len(line["marks"]) == 6
    assert [line["round"] for line in rounds] == [0, 1, 2] and str(log.parent) not in log.read_text()


def test_a_log_cut_within_the_line_is_continued(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process may be killed while the line is written."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # it takes most of the time
    labels = load_labels(folder(tmp_path / "rated", liked=1, disliked=1))
    undisturbed = finish(quick(labels, log))
    whole = log.read_bytes()
    first, second = [i + 1 for i, byte in enumerate(whole) if byte == 10][:2]
    for offset in [*range(first, second, 23), second - 1, second]:
        log.write_bytes(whole[:offset])
        with quick(labels, log) as again:
            assert again.logged == 0
            assert torch.equal(finish(again), undisturbed), offset
        assert log.read_bytes() == whole, offset


def test_a_full_disk_writes_no_line_and_learns_nothing(rated: Labels, log: Path) -> None:
    quick(None, log).close()
    head = log.read_bytes()
    with largest_file(len(head) + 20):
        refused(PapaError, lambda: quick(rated, log), "cannot write", "Free disk space")
    assert log.read_bytes() == head
    assert torch.equal(finish(quick(rated, log)), finish(quick(rated)))


@pytest.mark.parametrize("damage", [{"preference": 1}, {"marks": "light"}, {"pairs": [[0, 1]]}])
def test_a_damaged_line_is_refused_and_left_as_it_is(rated: Labels, log: Path, damage: dict[str, Any]) -> None:
    quick(rated, log).close()
    head, line = log.read_text().splitlines()
    log.write_text(f"{head}\n{json.dumps(json.loads(line) | damage)}\n")
    before = log.read_bytes()
    refused(SessionError, lambda: quick(rated, log), str(log))
    assert log.read_bytes() == before


def test_other_labels_are_refused_with_the_difference(tmp_path: Path, log: Path) -> None:
    names = files(tmp_path, 4)

    def grades(*values: float, name: str = "labels.csv") -> Labels:
        lines = [f"{name},{value}" for name, value in zip(names, values, strict=False)]
        return load_labels(csv_file(tmp_path, "image,label", *lines, name=name))

    with quick(grades(1, 0, 0.5), log) as of:
        finish(of)
    before = log.read_bytes()

    def refuses(labels: Labels | None, *words: str) -> None:
        refused(SessionError, lambda: quick(labels, log), str(log), "began with other labels", *words)
        assert log.read_bytes() == before

    refuses(None, "given is 3 in the log and 0 here")
    refuses(grades(1, 1, 0.5), "preference[1] is 0.0 in the log and 1.0 here")
    refuses(grades(1, 0, 0.5, 0), "given is 3 in the log and 4 here")
    (tmp_path / "2.png").write_bytes(encoded(pixels(9)))
    refuses(grades(1, 0, 0.5), "images[2]")
    files(tmp_path, 4)
    assert quick(grades(1, 0, 0.5, name="of_another_name.csv"), log).logged == 1
    began_without = tmp_path / "other.jsonl"
    with quick(None, began_without) as of:
        finish(of)
    refused(SessionError, lambda: quick(grades(1, 0, 0.5), began_without), "given is 0 in the log and 3 here")


def test_a_model_that_sees_the_images_otherwise_is_refused(tmp_path: Path, log: Path) -> None:
    place = folder(tmp_path / "rated", liked=1, disliked=1)
    tall = np.zeros((48, 16, 3), np.uint8)
    tall[:16] = 255
    (place / "liked" / "0.png").write_bytes(encoded(tall))
    labels, wide = load_labels(place), Grey()
    quick(labels, log).close()
    wide.shape = (1, 8, 24)
    refused(
        SessionError,
        lambda: Session(wide, "best_of_n", given=labels, log=log, settings=LIGHT, **QUICK),
        "in another size or crop",
    )


def model_for(name: str) -> Model:
    """A model that the method runs on: tiny digits, or the one with an adapter."""
    return task_of("fruits" if declaration(name).settings().needs_adapter else "digits").model


def opposite(place: Path, kind: str, light: bool) -> Labels:
    """Labels of a user who likes light images, or dark ones."""
    names = files(place, 6)
    if kind == "grades":
        said = [f"{name},{int((number % 2 == 0) == light)}" for number, name in enumerate(names)]
        return load_labels(csv_file(place, "image,label", *said))
    said = [f"{a},{b}" if light else f"{b},{a}" for a, b in zip(names[::2], names[1::2], strict=True)]
    return load_labels(csv_file(place, "winner,loser", *said))


def whole(name: str, labels: Labels, log: Path | None = None) -> Session:
    """A whole session, small, of one unanswered question."""
    more = {"surrogate": {"epochs": 30, "channels": 8}, "lr": 1e-2, "n": 4}
    settings = {k: v for k, v in (tiny.SMALL | more).items() if k in declaration(name).settings.model_fields}
    if name == "distill":
        settings |= {"surrogate": {"kind": "conv", "query": "own", "epochs": 30, "channels": 8}}
    of = Session(model_for(name), name, given=labels, log=log, settings=settings | QUICK)
    for question in of:
        of.answer([] if question.kind == "pairs" else [None] * len(question))
    return of


@pytest.mark.parametrize("kind", ["grades", "pairs"])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_from_what_it_declares_and_refuses_the_rest(name: str, kind: str, tmp_path: Path) -> None:
    light = opposite(tmp_path, kind, light=True)
    if kind not in declaration(name).pictures:
        refused(LabelsError, lambda: Session(model_for(name), name, given=light, log=tmp_path / "log"), name)
        assert not (tmp_path / "log").exists()
        return
    with whole(name, light, tmp_path / "log") as of:
        samples = of.sample(8)
    with whole(name, light, tmp_path / "log") as again:
        assert torch.equal(again.sample(8), samples)
    dark = whole(name, opposite(tmp_path, kind, light=False)).sample(8)
    assert not torch.equal(dark, samples)


@pytest.mark.parametrize("name", ["papa", "reward_model"])
def test_given_images_do_not_count_as_samples_of_the_base(rated: Labels, digits: Digits, name: str) -> None:
    """`balance: equal` needs the share of likes among base samples."""

    def settings(**more: Any) -> dict[str, Any]:
        own: dict[str, Any] = {"balance": "equal", "updates": 1, "items": 2} | more
        return own if name == "papa" else {"papa": own, "surrogate": {"epochs": 1}}

    refused(LabelsError, lambda: Session(digits.model, name, given=rated, settings=settings()), "queries: base")
    of = Session(digits.model, name, given=rated, settings=settings(queries="base"), **QUICK)
    method: Any = of.method
    learner = getattr(method, "papa", method)
    of.ask()
    assert learner.shares.labelled == 0.5 and learner.shares.base == 0.5, "nothing is known of the base yet"
    of.answer([True, True])
    assert learner.shares.base == 3 / 4, "the share of likes among base samples, by the rule of succession"


def test_the_inverse_temperature_reaches_its_end_in_the_last_round(rated: Labels) -> None:
    settings = {"particles": 4, "surrogate": {"epochs": 1}}
    of, betas = Session(Grey(), "fkc", given=rated, labels=6, per_round=2, settings=settings), []
    for question in of:
        betas.append(of.method.diagnostics()["beta"])
        of.answer([True] * len(question))
    assert betas == [0.5, 1.25, 2.0]


def test_a_pipeline_encodes_what_it_decodes_and_a_pixel_model_grey_levels(digits: Digits) -> None:
    model = task_of("fruits").model
    images = Session(model, "base").sample(4)
    again = model.decode(model.encode(images))
    assert again.shape == images.shape and (again - images).abs().mean() < 0.05
    grey = torch.rand(2, 1, 8, 8) * 2 - 1
    assert torch.allclose(digits.model.encode(grey.expand(2, 3, 8, 8)), grey, atol=1e-6)
    for channel, share in enumerate((0.299, 0.587, 0.114)):  # red, green, blue
        colour = torch.zeros(1, 3, 8, 8)
        colour[:, channel] = 1
        assert torch.allclose(digits.model.encode(colour), torch.tensor(share), atol=1e-6)


def test_an_encoder_that_diverges_is_an_error(rated: Labels) -> None:
    class Broken(Grey):
        def encode(self, images: Tensor) -> Tensor:
            return super().encode(images) * float("nan")

    refused(DivergedError, lambda: encode(rated, Broken()), "NaN or infinity")


def test_a_saved_folder_names_the_given_labels(rated: Labels, tmp_path: Path, digits: Digits) -> None:
    of = Session(digits.model, "raft", given=rated, settings={"updates": 1, "items": 2}, **QUICK)
    about = json.loads((of.save(tmp_path / "aligned") / "papa.json").read_text())
    assert about["given"] == 6 and len(about["given_sha256"]) == 64
