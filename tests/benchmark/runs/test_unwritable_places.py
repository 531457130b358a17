"""Places that cannot be written: said before anything starts, or without losing what is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.command_line import Papa, align, state_of
from support.tiny import assert_paragraph


@pytest.mark.usefixtures("small_blocks")
def test_results_where_nothing_can_be_written(tmp_path: Path, refused: Callable[..., str]) -> None:
    """Below a regular file, where not even root may write."""
    (tmp_path / "file").write_text("")
    path = tiny.write(tmp_path, tiny.config(tmp_path) | {"results": str(tmp_path / "file" / "results")})
    for command in (["base", "--config", str(path), "--task", "gmm2d", "--seeds", "0"], align(path)):
        said = refused_last_line(refused, command)
        assert_paragraph(said, "cannot write", "give write permission", "`results:`")


def refused_last_line(refused: Callable[..., str], command: list[str]) -> str:
    """The error itself, after the lines of progress."""
    return refused(*command).strip().splitlines()[-1]


@pytest.mark.parametrize("command", [("table", "T1"), ("plot", "F1"), ("claims",), ("collect",)])
def test_outputs_where_nothing_can_be_written(
    finished: tuple[Path, Path],
    refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: tuple[str, ...],
) -> None:
    path, results = finished
    (tmp_path / "file").write_text("")
    (results / "tables").write_text("a file where a folder is wanted")
    before = state_of(results)
    data = tiny.config(tmp_path) | {"figures": str(tmp_path / "file" / "figures")}
    path = tiny.write(tmp_path, data)
    if command[0] in ("collect", "claims"):  # these write beside the runs
        monkeypatch.setattr("os.replace", deny)
        monkeypatch.setattr(Path, "replace", deny)
    said = refused_last_line(refused, [command[0], *command[1:], "--config", str(path)])
    assert_paragraph(said, "write")
    monkeypatch.undo()
    assert {name: found for name, found in state_of(results).items() if name in before} == before


def deny(*args: Any, **kwargs: Any) -> None:
    raise PermissionError(13, "Permission denied")


def test_the_doctor_finds_the_same_before_anything_starts(tmp_path: Path, papa: Papa, capsys) -> None:
    (tmp_path / "file").write_text("")
    sound = tiny.write(tmp_path, tiny.config(tmp_path))
    assert papa("doctor", "--config", sound)[0] == 0
    broken = tiny.write(tmp_path, tiny.config(tmp_path) | {"results": str(tmp_path / "file" / "results")})
    code, said = papa("doctor", "--config", broken)
    assert code != 0 and "1 thing(s)" in said
