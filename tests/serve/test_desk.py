"""The desk: rounds, undo over confirmed rounds, restarts at any point, full disks, exports, the end."""

from __future__ import annotations

import base64
import errno
import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from support import served
from support.refusals import refused
from support.served import ANN, BEN, Tab, desk, preference, small, wait

from papa import log as logs
from papa.benchmark.personal import pick_a_pic
from papa.errors import PapaError, SessionError
from papa.serve.desk import Desk
from papa.serve.previews import pngs
from papa.session import Session


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "me.jsonl"


ROUND = ("like", "dislike", "skip", "like")
ANSWERS = [1.0, 0.0, None, 1.0]


def images(at: Desk, index: int) -> list[bytes | None]:
    found = list(itertools.takewhile(lambda png: png is not None, (at.image(index, k) for k in itertools.count())))
    assert found
    return found


def test_a_whole_session(log: Path) -> None:
    with desk(log) as at:
        tab = Tab(at)
        state = at.state()
        assert (state["round"], state["rounds"], state["confirmed"], state["labels"]) == (0, 3, 0, 10)
        assert state["question"]["answers"] == [None] * 4 and not state["undo"] and state["busy"] is None
        assert state["saves"] and list(state["previews"]) == ["before"], "sampled while the user rates the first round"
        assert tab.rate(0, "maybe") == tab.rate(4, "like") == "This is not an answer to this image."
        for answer in ("like", "dislike", None, "skip", "like"):
            tab.rate(1, answer)
        seen = [(tab.undo(), at.state()["question"]["answers"][1]) for _ in range(5)]
        assert seen == [("taken", answer) for answer in ("skip", None, "dislike", "like", None)]
        assert tab.undo() == "There is nothing to undo." and not at.state()["undo"]
        tab.answer(*ROUND)
        assert preference(log) == [ANSWERS]
        state = at.state()
        assert state["round"] == 1 and state["confirmed"] == 4 and state["previews"]["now"]["after"] == 1
        tab.answer(*ROUND)
        tab.answer("like", "dislike")
        state = at.state()
        assert state["finished"] and state["question"] is None and state["confirmed"] == 10 and state["error"] is None
        assert preference(log) == [ANSWERS, ANSWERS, [1.0, 0.0]]


def test_the_page_asks_what_a_session_asks(log: Path, tmp_path: Path) -> None:
    with desk(log) as at:
        tab = Tab(at)
        tab.answer(*ROUND)
        tab.answer(*ROUND)
        third = images(at, 2)
    own = Session(served.model(), "papa", labels=served.LABELS, per_round=served.K, settings=small("papa"))
    for _ in range(2):
        own.ask()
        own.answer(ANSWERS)
    assert third == pngs(own.model, own.ask().images)


def test_undo_goes_back_over_confirmed_rounds(log: Path) -> None:
    with desk(log) as at:
        tab = Tab(at)
        tab.answer(*ROUND)
        second = images(at, 1)
        tab.answer(*ROUND)
        assert at.state()["confirmed"] == 8 and tab.undo() == "taken"
        assert at.state()["confirmed"] == 4, "at once, not when the session is replayed"
        assert tab.undo() == "taken"
        state = wait(at)
        assert state["round"] == 1 and state["question"]["answers"] == ["like", "dislike", "skip", None]
        assert preference(log) == [ANSWERS] and images(at, 1) == second and state["error"] is None
        for _ in range(5):
            assert tab.undo() == "taken"
        state = wait(at)
        assert state["round"] == 0 and preference(log) == []
        assert state["question"]["answers"] == ["like", "dislike", "skip", None]
        tab.answer(*ROUND)
        assert images(at, 1) == second, "the same answers lead to the same images"
        for _ in range(5):
            tab.undo()
        tab.answer("dislike", "dislike", "dislike", "dislike")
        assert preference(log) == [[0.0] * 4]
        assert images(at, 1) != second, "other answers lead to other images"


def test_undo_and_confirm_while_the_model_learns(log: Path) -> None:
    with desk(log, settings=small("papa") | {"lr": 0.01}) as at:
        tab = Tab(at)
        tab.answer(*ROUND)
        first = preview(at, "now")
        steps = [tab.step("undo"), tab.step("rate", round=0, item=0, answer="dislike"), tab.step("confirm", round=0)]
        steps += [tab.step("undo"), tab.step("rate", round=0, item=3, answer=None), tab.step("confirm", round=0)]
        assert tab.send(*steps)["results"] == ["taken"] * 6
        for _ in range(3):
            wait(at)
        state = at.state()
        assert state["round"] == 1 and state["error"] is None and state["question"]["round"] == 1
        assert preference(log) == [[0.0, 0.0, None, None]], "an item without an answer is skipped"
        assert state["previews"]["now"]["after"] == 1 and np.abs(preview(at, "now") - first).max() > 2
        assert tab.undo() == "taken"
        assert at.state()["question"]["answers"] == ["dislike", "dislike", "skip", None], "open again, not skipped"


def test_undo_into_a_log_without_a_draft(log: Path) -> None:
    with Session(served.model(), "papa", labels=10, per_round=4, settings=small("papa"), log=log) as own:
        for _ in range(2):
            own.ask()
            own.answer([True, None, False, 0.75])
    with desk(log) as at:
        tab = Tab(at)
        assert at.state()["round"] == 2
        assert tab.undo() == "taken"
        state = wait(at)
        assert state["round"] == 1 and state["question"]["answers"] == ["like", "skip", "dislike", "like"]
        assert len(preference(log)) == 1
        for _ in range(5):
            assert tab.undo() == "taken"
        assert wait(at)["round"] == 0 and preference(log) == []


def test_undo_keeps_rounds_that_a_script_answered_since(log: Path) -> None:
    with desk(log) as at:
        Tab(at).answer(*ROUND)
        Tab(at, BEN).rate(0, "like")
    with Session(served.model(), "papa", labels=10, per_round=4, settings=small("papa"), log=log) as own:
        own.ask()
        own.answer([False] * 4)
    with desk(log) as at:
        assert at.state()["round"] == 2 and len(preference(log)) == 2
        assert Tab(at, BEN[:-1] + "c").undo() == "taken"
        assert wait(at)["round"] == 1 and preference(log) == [ANSWERS]


def test_a_restart_resumes_within_the_round(log: Path) -> None:
    with desk(log) as at:
        tab = Tab(at)
        tab.answer(*ROUND)
        tab.rate(2, "dislike")
        second = images(at, 1)
    with desk(log) as at:
        state = at.state()
        assert state["round"] == 1 and state["question"]["answers"] == [None, None, "dislike", None]
        assert images(at, 1) == second and preference(log) == [ANSWERS]
        assert Tab(at, BEN).undo() == "taken"
        assert at.state()["question"]["answers"] == [None] * 4


def test_a_kill_between_draft_and_log(log: Path) -> None:
    with desk(log) as at:
        Tab(at).answer(*ROUND)
        at.draft.append("confirm", ANN, 90, round=1, answers=list(ROUND))
    assert len(preference(log)) == 1
    with desk(log) as at:
        assert at.state()["round"] == 2 and preference(log) == [ANSWERS, ANSWERS], "submitted at the next start"
        at.draft.append("undo", ANN, 91)
    assert len(preference(log)) == 2
    with desk(log) as at:
        assert at.state()["round"] == 1 and preference(log) == [ANSWERS], "cut from the log at the next start"
    log.unlink()
    with desk(log) as at:
        assert at.state()["round"] == 1 and preference(log) == [ANSWERS], "restored from the draft"


def test_a_log_of_another_session_is_refused_before_anything_is_served(log: Path) -> None:
    about = {"prompt": "a fruit", "model": {"name": "x", "network_sha256": "1"}}
    with desk(log, about=about) as at:
        Tab(at).answer(*ROUND)
    other = about | {"model": {"name": "x", "network_sha256": "2"}}
    refused(SessionError, desk(log, about=other).__enter__, "another session", "model.network_sha256")
    assert len(preference(log)) == 1
    with desk(log, about=about) as at:
        refused(SessionError, lambda: Session(served.model(), "papa", log=log), "open")
        assert at.state()["round"] == 1


def test_a_step_sent_twice_counts_once(log: Path) -> None:
    with desk(log) as at:
        tab = Tab(at)
        steps = [tab.step("rate", round=0, item=item, answer="like") for item in range(3)]
        assert tab.send(*steps)["results"] == ["taken"] * 3
        undo = tab.step("undo")
        assert tab.send(undo)["results"] == ["taken"]
        assert tab.send(*steps, undo)["results"] == ["known"] * 4
        assert at.state()["question"]["answers"] == ["like", "like", None, None] and at.draft.version == 4
        confirm = tab.step("confirm", round=0)
        assert tab.send(confirm, confirm)["results"] == ["taken", "known"]
        wait(at)
        assert len(preference(log)) == 1


def test_two_tabs_do_not_undo_each_others_steps_unseen(log: Path) -> None:
    with desk(log) as at:
        ann, ben = Tab(at), Tab(at, BEN)
        ann.rate(0, "like")
        assert ben.undo() == "newer", "Ben has not seen what Ann did"
        assert ben.confirm() == "taken", "by now he has"
        wait(at)
        assert ann.rate(1, "like", round=0) == "newer" and ann.confirm(round=0) == "newer"
        assert len(preference(log)) == 1
        ann.look()
        assert ann.undo() == "taken"
        assert wait(at)["round"] == 0


def test_steps_wait_until_the_images_are_ready(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page sends its queue as soon as the server is back, which may still be loading the session."""
    with desk(log) as at:
        Tab(at).answer(*ROUND)
    with desk(log) as at:
        tab = Tab(at, BEN)
        monkeypatch.setattr(at, "_rounds", {})
        steps = [tab.step("rate", round=1, item=0, answer="like"), tab.step("confirm", round=1)]
        assert tab.send(*steps)["results"] == [] and at.draft.version == 5
        assert tab.send(tab.step("rate", round=0, item=0, answer="like"), *steps)["results"] == ["newer"]
        monkeypatch.undo()
        assert tab.send(*steps)["results"] == ["taken", "taken"]


def test_pairs_for_a_method_that_asks_for_likes(log: Path) -> None:
    with desk(log, paired=True) as at:
        tab = Tab(at)
        assert at.state()["question"]["answers"] == [None, None] and at.state()["question"]["paired"]
        assert tab.rate(0, "like") == "This is not an answer to this image."
        tab.answer("second", "tie")
        tab.answer("skip", "first")
        assert preference(log) == [[0.0, 1.0, 0.5, 0.5], [None, None, 1.0, 0.0]]
    log.with_name("me.jsonl.draft").unlink()
    with desk(log, paired=True) as at:
        Tab(at).undo()
        assert wait(at)["question"]["answers"] == ["skip", "first"]


def no_space(*_: object, **__: object) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_at_the_log_is_reported_and_tried_again(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with desk(log) as at:
        tab = Tab(at)
        with monkeypatch.context() as patch:
            patch.setattr(logs.os, "fsync", only_drafts(logs.os.fsync, log))
            for item, answer in enumerate(ROUND):
                tab.rate(item, answer)
            tab.confirm()
            state = wait(at)
        assert "No space left" in state["error"] and "Try again" in state["error"] and preference(log) == []
        assert state["question"] is None
        at.settle()
        state = wait(at)
        assert state["error"] is None and state["round"] == 1 and preference(log) == [ANSWERS]


def only_drafts(fsync: Any, log: Path) -> Any:
    """A disk without room for the log."""

    def sync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").resolve() == log.resolve():
            no_space()
        fsync(descriptor)

    return sync


def no_room(*_: object) -> None:
    raise PapaError("No room.")


def test_a_full_disk_at_an_undo_over_a_round_leaves_the_log_whole(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with desk(log) as at:
        tab = Tab(at)
        tab.answer(*ROUND)
        data = log.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr("papa.serve.exports.write_atomic", no_room)
            tab.undo()
            assert "No room" in wait(at)["error"] and log.read_bytes() == data
        at.settle()
        assert wait(at)["error"] is None and preference(log) == [] and at.state()["round"] == 0


def test_learning_that_fails_is_reported_and_repeated(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with desk(log) as at, desk(log.with_name("other.jsonl")) as other:
        Tab(other).answer(*ROUND)
        with monkeypatch.context() as patch:
            patch.setattr("papa.methods.papa.Papa.learn", lambda *_: 1 / 0)
            tab = Tab(at)
            for item, answer in enumerate(ROUND):
                tab.rate(item, answer)
            tab.confirm()
            state = wait(at)
            assert "ZeroDivisionError" in state["error"] and state["busy"] is None
        assert preference(log) == [ANSWERS], "the answers are kept"
        at.settle()
        assert wait(at)["error"] is None and images(at, 1) == images(other, 1)


def preview(at: Desk, which: str) -> np.ndarray:
    """(6, H, W, 3) images of a preview."""
    found = [at.preview(which, item) for item in range(6)]
    return np.stack([np.asarray(Image.open(io.BytesIO(data or b"")), dtype=float) for data in found])


def test_the_dial_changes_the_strength_and_nothing_else(log: Path) -> None:
    with desk(log, settings=small("papa") | {"lr": 0.01}) as at:
        assert at.state()["dial"] is None
        Tab(at).answer(*ROUND)
        learned, before = preview(at, "now"), preview(at, "before")
        assert np.abs(learned - before).max() > 10 and at.state()["dial"]["value"] == 1
        at.turn(0)
        assert wait(at)["previews"]["now"]["value"] == 0
        assert np.abs(preview(at, "now") - before).max() <= 2, "the base, up to rounding"
        at.turn(99)
        assert wait(at)["dial"]["value"] == 1.5
        assert np.abs(preview(at, "now") - learned).max() > 10
        at.turn(1)
        wait(at)
        assert np.array_equal(preview(at, "now"), learned)


def test_exports(log: Path) -> None:
    with desk(log) as at:
        at.export("answers")
        assert "no round is confirmed" in wait(at)["notes"][0]
        Tab(at).answer(*ROUND)
        for what in ("model", "answers", "answers"):
            at.export(what)
        notes = wait(at)["notes"]
        folder = log.with_name("me.jsonl.exports")
        assert notes[1:] == [
            f"Saved: {folder / 'model-after-1-rounds-1'}, at strength 1",
            f"Saved: {folder / 'answers-after-1-rounds-1'}.jsonl",
            f"Saved: {folder / 'answers-after-1-rounds-2'}.jsonl",
        ]
        StableDiffusionPipeline.from_pretrained(folder / "model-after-1-rounds-1", safety_checker=None)
        lines = [json.loads(line) for line in (folder / "answers-after-1-rounds-1.jsonl").read_text().splitlines()]
        assert [line["label"] for line in lines] == ANSWERS and {line["caption"] for line in lines} == {"a fruit"}
        assert [base64.b64decode(line["png"]) for line in lines] == images(at, 0)
        rows = list(pick_a_pic.read([folder / "answers-after-1-rounds-1.pairs.parquet"]))
        assert [row.label for row in rows] == [1.0, 1.0] and rows[0].caption == "a fruit"


def test_the_model_is_saved_at_the_strength_of_the_dial(log: Path) -> None:
    with desk(log, settings=small("papa") | {"lr": 0.01}) as at:
        Tab(at).answer(*ROUND)
        for value in (1, 0.5, 0):
            at.turn(value)
            at.export("model")
            at.turn(1.5)  # too late for this save
        assert wait(at)["notes"][1].endswith("model-after-1-rounds-2, at strength 0.5")
        folders = [log.with_name("me.jsonl.exports") / f"model-after-1-rounds-{i}" for i in (1, 2, 3)]
        assert [json.loads((folder / "papa.json").read_text())["strength"] for folder in folders] == [1, 0.5, 0]
        learned, half, base = (saved_weights(folder) for folder in folders)
        own = served.model().pipe.unet.state_dict()
        assert any((learned[name] - own[name]).abs().max() > 1e-3 for name in own)
        for name, weight in own.items():
            assert torch.equal(base[name], weight), name
            assert torch.allclose(half[name], (learned[name] + weight) / 2, atol=1e-6), name


def saved_weights(folder: Path) -> dict[str, torch.Tensor]:
    return StableDiffusionPipeline.from_pretrained(folder, safety_checker=None).unet.state_dict()


def test_everything_is_deleted(log: Path) -> None:
    with desk(log) as at:
        tab = Tab(at)
        tab.answer(*ROUND)
        at.export("answers")
        at.delete()
        assert list(log.parent.iterdir()) == []
        state = at.state()
        assert state["gone"] == "Everything of this session was deleted." and state["question"] is None
        assert at.image(0, 0) is None and at.preview("before", 0) is None
        assert tab.rate(0, "like", round=1) == state["gone"] and list(log.parent.iterdir()) == []
