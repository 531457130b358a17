"""Sessions that begin with labels of pictures: what is learned, what is logged, and which methods can."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
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
from papa.labels.encoding import Given
from papa.labels.encoding import encoded as encode
from papa.methods import METHODS, declaration
from papa.models.interface import Model

LIGHT: dict[str, Any] = {"surrogate": {"epochs": 1, "channels": 2}, "n": 2}
QUICK = {"labels": 2, "per_round": 2}


def quick(given_labels: Labels | None, log: Path | None = None, **given: Any) -> Session:
    """A session of a few milliseconds: one question, on a model without a network."""
    return Session(Grey(), "best_of_n", given=given_labels, log=log, **({"settings": LIGHT} | QUICK | given))


def finish(of: Session, n: int = 4) -> Tensor:
    """Answer all that is left, and draw."""
    for question in of:
        of.answer([bool(i % 2) for i in range(len(question))])
    return of.sample(n)


@pytest.fixture
def rated(tmp_path: Path) -> Labels:
    return load_labels(folder(tmp_path / "rated"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "me.jsonl"


# ---------------------------------------------------------------- the first round


def test_given_labels_come_before_the_first_question_and_cost_none(rated: Labels) -> None:
    of, told = quick(rated, labels=5), []
    tell = of.method.tell
    of.method.tell = lambda *said: (told.append(said), tell(*said))[0]  # type: ignore[method-assign,assignment]
    assert not told, "nothing is learned before something is asked for"
    sizes = []
    for question in of:
        assert question.round == of.round == len(sizes)
        sizes.append(len(question))
        of.answer([True] * len(question))
    assert sizes == [2, 2, 1] and of.round == of.rounds == 3 and of.method.round == of.method.rounds == 4
    query, feedback = told[0]
    assert feedback.preference.tolist() == [1, 1, 1, 0, 0, 0] and query.kind == "graded"
    expected = torch.stack([torch.from_numpy(resized(pixels(i % 3, i < 3))).mean() for i in range(6)])
    assert torch.allclose((query.latents.mean((1, 2, 3)) + 1) * 127.5, expected, atol=1)


def resized(of: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(of).resize((8, 8), Image.Resampling.BICUBIC)).astype(np.float32)


@pytest.mark.parametrize("act", [lambda of: of.sample(2), lambda of: of.ask(), lambda of: next(iter(of))])
def test_whatever_is_done_first_learns_from_them_once(rated: Labels, act: Callable[[Session], Any]) -> None:
    of = quick(rated)
    act(of)
    act(of)
    assert of.method.round == 1 and of.round == 0


def test_what_is_given_decides_and_nothing_else(tmp_path: Path) -> None:
    learns = {"surrogate": {"epochs": 30, "channels": 8}, "n": 8}
    light, again, dark = (
        quick(opposite(place, "grades", likes_light), settings=learns).sample(16)
        for place, likes_light in ((tmp_path, True), (tmp_path, True), (tmp_path, False))
    )
    assert torch.equal(light, again) and light.mean() > dark.mean()


def test_chunks_of_another_size_give_the_same_latents(rated: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encode(rated, Grey())
    monkeypatch.setattr("papa.labels.encoding.CHUNK", 4)
    parts = encode(rated, Grey())
    assert torch.equal(whole.query.latents, parts.query.latents) and whole.marks == parts.marks
    assert whole.digest == parts.digest


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_labels_that_were_half_learned_are_not_gone_on_with(
    rated: Labels, log: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    of = quick(rated, log)

    def interrupted(*_: object) -> None:
        raise error

    monkeypatch.setattr(of.method, "learn", interrupted)
    with pytest.raises(error):
        of.ask()
    for act in (of.ask, lambda: of.sample(1)):
        refused(SessionError, act, "interrupted while it learned from the given labels", "Make the session again")
    of.close()
    assert torch.equal(finish(quick(rated, log)), finish(quick(rated)))


def test_a_model_of_points_is_refused_at_once(rated: Labels, plane: Gmm2d, log: Path) -> None:
    refused(ModelError, lambda: Session(plane.model, "fkc", given=rated, log=log), "draws no pictures")
    refused(ModelError, lambda: plane.model.encode(torch.zeros(1, 3, 8, 8)), "a mixture draws points")
    assert not log.exists()


def test_a_picture_that_cannot_be_read_is_refused_at_once_and_leaves_no_log(tmp_path: Path, log: Path) -> None:
    place = folder(tmp_path / "rated")
    (place / "liked" / "1.png").write_bytes(encoded(pixels(1))[:300])
    refused(LabelsError, lambda: quick(load_labels(place), log), "liked/1.png", "is broken")
    assert not log.exists()
    (place / "liked" / "1.png").write_bytes(encoded(pixels(1)))
    assert torch.equal(finish(quick(load_labels(place), log)), finish(quick(load_labels(place))))


def test_a_place_in_the_stead_of_labels_is_refused(tmp_path: Path) -> None:
    place: Any = tmp_path
    refused(LabelsError, lambda: quick(place), "papa.load_labels")


# ---------------------------------------------------------------- the log


def test_the_log_says_what_was_given_and_no_path(rated: Labels, log: Path, tmp_path: Path) -> None:
    with quick(rated, log) as of:
        assert len(log.read_text().splitlines()) == 2, "it is there before anything is learned"
        finish(of)
    _, given, *rounds = map(json.loads, log.read_text().splitlines())
    assert given["given"] == 6 and given["kind"] == "grades" and given["preference"] == [1, 1, 1, 0, 0, 0]
    assert len(given["sha256"]) == 64 and len(given["pictures"]) == 6 and len(given["marks"]) == 6
    assert [line["round"] for line in rounds] == [0] and str(tmp_path) not in log.read_text()


def test_a_session_goes_on_with_the_same_bits(rated: Labels, log: Path) -> None:
    undisturbed = finish(quick(rated, labels=5))
    for answered in (0, 1, 2):
        log.unlink(missing_ok=True)
        with quick(rated, log, labels=5) as of:
            for _ in range(answered):
                of.answer([bool(i % 2) for i in range(len(of.ask()))])
        with quick(rated, log, labels=5) as again:
            assert again.logged == answered and torch.equal(finish(again), undisturbed)


def test_a_network_is_trained_to_the_same_bits(rated: Labels, log: Path, digits: Digits) -> None:
    def of(given: Labels | None, log: Path | None = None) -> Session:
        return Session(digits.model, "papa", given=given, log=log, settings={"updates": 1, "items": 4} | QUICK)

    undisturbed = finish(of(rated))
    with of(rated, log) as first:
        first.ask()
    with of(rated, log) as again:
        assert torch.equal(finish(again), undisturbed)
    with of(rated, log) as third:
        assert torch.equal(third.sample(4), undisturbed) and third.round == 1
    assert not torch.equal(undisturbed, finish(of(None)))


def test_a_log_cut_at_any_byte_of_the_line_goes_on(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process may be killed while the line is written: every byte offset of it."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # nothing loses its power here, and it takes most of the time
    labels = load_labels(folder(tmp_path / "rated", liked=1, disliked=1))
    undisturbed = finish(quick(labels, log))
    whole = log.read_bytes()
    first, second = [i + 1 for i, byte in enumerate(whole) if byte == 10][:2]
    for offset in range(first, second + 1):
        log.write_bytes(whole[:offset])
        with quick(labels, log) as again:
            assert again.logged == 0
            assert torch.equal(finish(again), undisturbed), offset
        assert log.read_bytes() == whole, offset


@pytest.mark.parametrize("size", [0, 20])
def test_a_full_disk_writes_no_line_and_learns_nothing(rated: Labels, log: Path, size: int) -> None:
    quick(None, log).close()
    head = log.read_bytes()
    with largest_file(len(head) + size):
        refused(PapaError, lambda: quick(rated, log), "cannot write", "Free disk space")
    assert log.read_bytes() == head
    assert torch.equal(finish(quick(rated, log)), finish(quick(rated)))


def changed(log: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    head, line, *rest = log.read_text().splitlines()
    log.write_text("\n".join([head, json.dumps(change(json.loads(line))), *rest]) + "\n")


DAMAGES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    **{
        f"no {name}": lambda line, name=name: {k: v for k, v in line.items() if k != name}
        for name in ("kind", "preference", "pairs", "ties", "pictures", "marks", "sha256")
    },
    "fewer answers": lambda line: line | {"preference": line["preference"][:2]},
    "fewer pictures": lambda line: line | {"pictures": line["pictures"][:2]},
    "marks in words": lambda line: line | {"marks": "light"},
    "a number for a list": lambda line: line | {"preference": 1},
    "another hash": lambda line: line | {"sha256": "0" * 64},
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_line_is_refused_and_left_as_it_is(
    rated: Labels, log: Path, damage: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    quick(rated, log).close()
    changed(log, damage)
    before = log.read_bytes()
    refused(SessionError, lambda: quick(rated, log), str(log))
    assert log.read_bytes() == before


# ---------------------------------------------------------------- other labels


def grades(place: Path, *values: float, names: list[str] | None = None, name: str = "labels.csv") -> Labels:
    names = names or files(place, len(values))
    lines = [f"{name},{value}" for name, value in zip(names, values, strict=True)]
    return load_labels(csv_file(place, "image,grade", *lines, name=name))


def logged(labels: Labels | None, log: Path) -> None:
    with quick(labels, log) as of:
        finish(of)


def test_labels_that_changed_are_refused_with_the_difference(tmp_path: Path, log: Path) -> None:
    logged(grades(tmp_path, 1, 0, 0.5), log)
    before = log.read_bytes()
    names = ["0.png", "1.png", "2.png"]

    def refuses(labels: Labels | None, *words: str) -> None:
        refused(SessionError, lambda: quick(labels, log), str(log), "Give the labels that the session began", *words)
        assert log.read_bytes() == before

    refuses(None, "began with labels of 3 pictures, and none are given here")
    refuses(grades(tmp_path, 1, 1, 0.5), "the grade of picture 2, 1.png", "is 0.0 in the log and 1.0 here")
    refuses(grades(tmp_path, 1, 0, 0.5, 0), "the number of pictures is 3 in the log and 4 here")
    refuses(grades(tmp_path, 1, 0.5, 0, names=[names[0], names[2], names[1]]), "the same in another order")
    (tmp_path / "2.png").write_bytes(encoded(pixels(9)))
    refuses(grades(tmp_path, 1, 0, 0.5, names=names), "picture 3, 2.png", "is another one")
    (tmp_path / "2.png").write_bytes(encoded(pixels(2)))
    assert quick(grades(tmp_path, 1, 0, 0.5, names=names, name="of_another_name.csv"), log).logged == 1


def test_labels_of_a_log_that_began_without_are_refused(tmp_path: Path, log: Path, rated: Labels) -> None:
    logged(None, log)
    refused(SessionError, lambda: quick(rated, log), "began without labels", "6 pictures")


def test_many_differences_are_named_and_counted(tmp_path: Path, log: Path) -> None:
    logged(grades(tmp_path, *[1] * 6), log)
    refused(SessionError, lambda: quick(grades(tmp_path, *[0] * 6), log), "picture 3", "and 4 more")


class Wide(Grey):
    """The same pictures, seen in another shape."""

    def __init__(self) -> None:
        super().__init__()
        self.shape = (1, 8, 24)


def test_a_model_that_sees_the_pictures_otherwise_is_refused(tmp_path: Path, log: Path) -> None:
    place = folder(tmp_path / "rated", liked=1, disliked=1)
    tall = np.zeros((48, 16, 3), np.uint8)
    tall[:16] = 255
    (place / "liked" / "0.png").write_bytes(encoded(tall))
    labels = load_labels(place)
    logged(labels, log)
    with pytest.raises(SessionError, match="in another size or cut"):
        Session(Wide(), "best_of_n", given=labels, log=log, settings=LIGHT, **QUICK)


def test_other_pairs_are_refused_with_the_difference(tmp_path: Path, log: Path, digits: Digits) -> None:
    a, b, c = files(tmp_path, 3)

    def of(*rows: str) -> None:
        labels = load_labels(csv_file(tmp_path, "better,worse,tie", *rows))
        settings = {"updates": 1, "items": 2}
        Session(digits.model, "diffusion_dpo", given=labels, log=log, settings=settings, **QUICK).close()

    for _ in range(2):
        of(f"{a},{b},", f"{b},{c},", f"{a},{c},")
    refused(
        SessionError, lambda: of(f"{a},{b},", f"{c},{b},", f"{a},{c},"), "number 2 of the pairs", "[2, 3]", "[3, 2]"
    )
    refused(SessionError, lambda: of(f"{a},{b},", f"{b},{c},", f"{a},{c},true"), "pairs is 3 in the log and 2 here")


def test_grades_in_the_place_of_pairs_are_refused(tmp_path: Path, log: Path, digits: Digits) -> None:
    for kind, words in (("pairs", ()), ("grades", ("the kind of labels is pairs in the log and grades here",))):
        labels = opposite(tmp_path, kind, light=True)
        if words:
            with pytest.raises(SessionError, match=words[0]):
                Session(digits.model, "diffusion_dpo", given=labels, log=log, **QUICK)
        else:
            Session(digits.model, "diffusion_dpo", given=labels, log=log, **QUICK).close()


# ---------------------------------------------------------------- every method


def model_for(name: str) -> Model:
    """A model that the method runs on: tiny digits, or the one with an adapter."""
    return task_of("fruits" if declaration(name).settings().needs_adapter else "digits").model


def opposite(place: Path, kind: str, light: bool) -> Labels:
    """Somebody who likes light pictures, or one who likes dark ones."""
    names = files(place, 6)
    if kind == "grades":
        said = [f"{name},{int((number % 2 == 0) == light)}" for number, name in enumerate(names)]
        return load_labels(csv_file(place, "image,grade", *said))
    said = [f"{a},{b}" if light else f"{b},{a}" for a, b in zip(names[::2], names[1::2], strict=True)]
    return load_labels(csv_file(place, "better,worse", *said))


def whole(name: str, labels: Labels, log: Path | None = None) -> Session:
    """A whole session, small, of one question."""
    settings = {key: value for key, value in tiny.SMALL.items() if key in declaration(name).settings.model_fields}
    more = {"surrogate": {"epochs": 30, "channels": 8}, "lr": 1e-2, "n": 4}
    settings |= {key: value for key, value in more.items() if key in declaration(name).settings.model_fields}
    if name == "distill":
        settings |= {"surrogate": {"kind": "conv", "query": "own", "epochs": 30, "channels": 8}}
    of = Session(model_for(name), name, given=labels, log=log, settings=settings | QUICK)
    for question in of:
        pairs = question.kind == "pairs"
        of.answer([] if pairs else [None] * len(question))
    return of


@pytest.mark.parametrize("kind", ["grades", "pairs"])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_from_what_it_declares_and_refuses_the_rest(name: str, kind: str, tmp_path: Path) -> None:
    light = opposite(tmp_path, kind, light=True)
    declared = declaration(name).pictures
    if kind not in declared:
        able = [other for other in METHODS if kind in declaration(other).pictures]
        refused(LabelsError, lambda: Session(model_for(name), name, given=light, log=tmp_path / "log"), name, *able)
        assert not (tmp_path / "log").exists()
        return
    with whole(name, light, tmp_path / "log") as of:
        samples = of.sample(8)
    with whole(name, light, tmp_path / "log") as again:
        assert torch.equal(again.sample(8), samples), "the log is replayed to the same bits"
    dark = whole(name, opposite(tmp_path, kind, light=False)).sample(8)
    assert not torch.equal(dark, samples), "what was given was not learned"


def test_what_cannot_learn_is_declared() -> None:
    nothing = {name for name in METHODS if not declaration(name).pictures}
    assert nothing == {"base", "d3po", "ddpo"}
    assert {name for name in METHODS if "pairs" in declaration(name).pictures} == {
        "diffusion_dpo",
        "ppd",
        "ppd_papa",
        "ppd_fkc",
    }


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("papa", {"balance": "equal"}),
        ("epapa", {"balance": "equal"}),
        ("reward_model", {"papa": {"balance": "equal"}}),
    ],
)
def test_settings_that_need_a_first_round_of_base_samples_are_refused(
    rated: Labels, digits: Digits, name: str, settings: dict[str, Any]
) -> None:
    refused(LabelsError, lambda: Session(digits.model, name, given=rated, settings=settings), "queries: base")


@pytest.mark.parametrize("name", ["papa", "reward_model"])
def test_given_pictures_do_not_count_as_samples_of_the_base(rated: Labels, digits: Digits, name: str) -> None:
    settings: dict[str, Any] = {"balance": "equal", "queries": "base", "updates": 1, "items": 2}
    if name == "reward_model":
        settings = {"papa": settings, "surrogate": {"epochs": 1}}
    of = Session(digits.model, name, given=rated, settings=settings, **QUICK)
    method: Any = of.method
    learner = getattr(method, "papa", method)
    of.ask()
    assert learner.shares.labelled == 0.5 and learner.shares.base == 0.5, "nothing is known of the base yet"
    of.answer([True, True])
    assert learner.shares.base == 3 / 4, "the share of likes among what the base drew, by Laplace's rule"


def test_distill_fine_tunes_after_the_last_question_alone(rated: Labels, digits: Digits) -> None:
    settings = {"guesses": 4, "papa": {"updates": 1, "items": 2}, "surrogate": {"kind": "conv", "epochs": 1}}
    of = Session(digits.model, "distill", given=rated, labels=4, per_round=2, settings=settings)
    method: Any = of.method
    for question in of:
        assert method.trained is None
        of.answer([True] * len(question))
    assert method.trained is not None


def test_the_inverse_temperature_reaches_its_end_in_the_last_round(rated: Labels) -> None:
    of = Session(
        Grey(), "fkc", given=rated, labels=6, per_round=2, settings={"particles": 4, "surrogate": {"epochs": 1}}
    )
    method: Any = of.method
    betas = []
    for question in of:
        betas.append(method.diagnostics()["beta"])
        of.answer([True] * len(question))
    assert betas == [0.5, 1.25, 2.0]


# ---------------------------------------------------------------- encode


def test_a_pipeline_encodes_what_it_decodes() -> None:
    """The autoencoder of the tiny fruits; that of random weights is no inverse of anything."""
    model = task_of("fruits").model
    size = model.image_size()
    images = Session(model, "base").sample(4)
    assert images.shape == (4, 3, *size)
    again = model.decode(model.encode(images))
    assert again.shape == images.shape and (again - images).abs().mean() < 0.05


def test_a_pipeline_of_random_weights_has_the_shapes() -> None:
    model = task_of("sd15").model
    images = torch.zeros(2, 3, *model.image_size())
    assert model.encode(images).shape == (2, *model.shape)


def test_a_pixel_model_takes_grey_levels(digits: Digits) -> None:
    model = digits.model
    assert model.image_size() == (8, 8)
    grey = torch.rand(2, 1, 8, 8) * 2 - 1
    assert torch.allclose(model.encode(grey.expand(2, 3, 8, 8)), grey, atol=1e-6)
    for channel, share in enumerate((0.299, 0.587, 0.114)):  # red, green, blue
        colour = torch.zeros(1, 3, 8, 8)
        colour[:, channel] = 1
        assert torch.allclose(model.encode(colour), torch.tensor(share), atol=1e-6)
    refused(ModelError, lambda: model.encode(torch.zeros(1, 3, 9, 8)), "(3, 9, 8)", "(3, 8, 8)")


def test_an_encoder_that_fails_is_no_answer(rated: Labels) -> None:
    class Broken(Grey):
        def encode(self, images: Tensor) -> Tensor:
            return super().encode(images) * float("nan")

    refused(DivergedError, lambda: encode(rated, Broken()), "NaN or infinity")


def test_what_was_given_stands_in_the_saved_folder(rated: Labels, tmp_path: Path, digits: Digits) -> None:
    of = Session(digits.model, "raft", given=rated, settings={"updates": 1, "items": 2}, **QUICK)
    place = of.save(tmp_path / "aligned")
    about = json.loads((place / "papa.json").read_text())
    assert about["given"] == 6 and len(about["given_sha256"]) == 64
    assert isinstance(encode(rated, digits.model), Given)
