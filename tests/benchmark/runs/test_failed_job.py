"""A job that fails: its finished seeds stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.command_line import Papa, align, state_of


@pytest.mark.usefixtures("small_blocks")
def test_the_finished_seeds_of_a_failed_job_stay_and_are_not_made_again(
    tmp_path: Path, papa: Papa, monkeypatch: pytest.MonkeyPatch
) -> None:
    from papa.methods.fkc.method import Fkc

    path, tell, told = tiny.write(tmp_path, tiny.config(tmp_path)), Fkc.tell, 0

    def fails_in_the_second_run(self: Fkc, *args: Any) -> None:
        nonlocal told
        told += 1
        if told == 5:
            raise RuntimeError("a bug, the power, anything")
        tell(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Fkc, "tell", fails_in_the_second_run)
        with pytest.raises(RuntimeError, match="anything"):
            papa(*align(path, method="fkc"))
    runs = tmp_path / "results" / "gmm2d" / "runs" / "fkc" / "linear"
    assert [folder.name for folder in runs.iterdir() if not folder.name.startswith(".")] == ["seed0"]
    before = state_of(runs / "seed0")
    code, said = papa(*align(path, method="fkc"))
    assert code == 0 and "seed0: already there" in said and (runs / "seed1" / "run.json").is_file()
    assert state_of(runs / "seed0") == before
