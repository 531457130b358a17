"""The draft: what is on the disk is what was accepted, wherever the file was cut and however full the disk is."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from support.refusals import refused

from papa.errors import PapaError, SessionError
from papa.serve import drafts
from papa.serve.drafts import Draft
from papa.serve.exports import keep_rounds

HEAD = {"papa": 1, "method": "papa", "seed": 0}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "me.jsonl.draft"


def filled(file: Path) -> Draft:
    """Two rounds, an undo in between and one over a confirmation."""
    draft = Draft(file, HEAD)
    draft.append("rate", "a", 1, round=0, item=0, answer="like")
    draft.append("rate", "a", 2, round=0, item=1, answer="dislike")
    draft.append("undo", "a", 3)
    draft.append("rate", "a", 4, round=0, item=1, answer="skip")
    draft.append("confirm", "a", 5, round=0, answers=["like", "skip"])
    draft.append("rate", "b", 1, round=1, item=0, answer="like")
    draft.append("undo", "b", 2)
    draft.append("undo", "b", 3)
    draft.append("cut", round=0)
    draft.append("rate", "b", 4, round=0, item=0, answer="dislike")
    return draft


def summary(draft: Draft) -> dict[str, Any]:
    return {name: value for name, value in vars(draft).items() if name != "file"}


def test_the_steps_add_up(file: Path) -> None:
    draft = filled(file)
    assert draft.version == 10 and draft.confirmed == {} and draft.reopened is None
    assert draft.answers[0] == {0: "dislike", 1: "skip"} and draft.answers[1] == {}
    assert summary(draft) == summary(Draft(file, HEAD)), "reading gives what was written"
    for _ in range(3):
        draft.append("undo")
    assert draft.answers[0] == {} and draft.last() is None


def test_a_draft_that_was_cut_anywhere_holds_the_whole_lines_before(file: Path) -> None:
    filled(file)
    data = file.read_bytes()
    for length in range(0, len(data), 7):
        file.write_bytes(data[:length])
        whole = max(0, data[:length].count(b"\n") - 1)
        draft = Draft(file, HEAD)
        assert draft.version == whole
        draft.append("rate", "c", 1, round=5, item=0, answer="like")
        again = Draft(file, HEAD)
        assert again.version == whole + 1 and again.answers[5] == {0: "like"}, "it continues after the cut"


def test_an_undone_confirmation_stays_reopened_until_it_is_cut_from_the_log(file: Path) -> None:
    draft = Draft(file, HEAD)
    for index in range(3):
        draft.append("confirm", "a", index + 1, round=index, answers=["like"])
    draft.append("undo", "a", 4)
    draft.append("undo", "a", 5)
    assert draft.reopened == Draft(file, HEAD).reopened == 1 and draft.confirmed == {0: ["like"]}
    draft.append("confirm", "a", 6, round=1, answers=["dislike"])
    assert draft.reopened == 1, "the old answer may be in the log still"
    draft.append("cut", round=1)
    assert Draft(file, HEAD).reopened is None


def test_a_round_of_a_log_without_a_draft_is_reopened_with_its_answers(file: Path) -> None:
    draft = Draft(file, HEAD)
    draft.append("reopen", "a", 1, round=2, answers=["like", "skip"])
    assert draft.answers[2] == {0: "like", 1: "skip"} and draft.reopened == 2
    draft.append("undo", "a", 2)
    assert draft.answers[2] == {0: "like"}


def test_a_full_disk_leaves_the_draft_as_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = filled(file)
    before, data = summary(Draft(file, HEAD)), file.read_bytes()
    for taken in range(4):
        left = [taken]

        def full(handle: Any, rest: memoryview, left: list[int] = left) -> int:
            """A disk with room for a few bytes."""
            if not left[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            left[0] -= 1
            return handle.write(rest[:1])

        with monkeypatch.context() as patch:
            patch.setattr(drafts, "write", full)
            refused(PapaError, lambda: draft.append("undo", "b", 5), "No space left", "Free disk space")
        assert summary(draft) == before and file.read_bytes() == data
    draft.append("undo", "b", 5)
    assert Draft(file, HEAD).version == 11


def test_other_files_and_other_sessions_are_refused_and_left_alone(file: Path) -> None:
    filled(file)
    data = file.read_bytes()
    refused(SessionError, lambda: Draft(file, HEAD | {"seed": 1}), "another session", "of.seed is 0 in the log and 1")
    assert file.read_bytes() == data
    head, first, second, *_ = data.splitlines(keepends=True)
    undo = b'{"version": 1, "client": "", "seq": 0, "op": "undo"}\n'
    wrong = (b"a letter", b"[1]\n", head + second, head + b"\xff\n", head + undo)
    for content in (*wrong, head + first.replace(b"rate", b"__init__")):
        file.write_bytes(content)
        refused(SessionError, lambda: Draft(file, HEAD), "Move it away")
        assert file.read_bytes() == content


def test_a_reopened_round_leaves_the_labels_that_were_given(tmp_path: Path) -> None:
    log = tmp_path / "me.jsonl"
    lines = ['{"papa": 1}\n', '{"given": 3}\n', '{"round": 0}\n', '{"round": 1}\n']
    for before in (1, 2):
        log.write_text("".join(lines[:before] + lines[2:]), encoding="utf-8")
        keep_rounds(log, 1)
        assert log.read_text(encoding="utf-8") == "".join(lines[:before] + lines[2:3])
