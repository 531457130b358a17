"""Tasks that differ in settings only are configuration: they need no line of code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.tiny import assert_paragraph

from papa.errors import SettingsError

FAST = {"tasks": {"digits": {"steps": 4}, "digits-fast": {"task": "digits", "steps": 3}}}


def test_two_tasks_of_one_kind_have_their_own_settings_measures_and_folders(tmp_path: Path) -> None:
    block = {"methods": ["base"], "users": ["likes-3"], "seeds": [0]}
    given = FAST | {
        "measures_by_task": {"digits-fast": {"final": 5, "base": 8, "per_round": 3}},
        "grid": {task: block | {"task": task} for task in FAST["tasks"]},
    }
    slow, fast = tiny.grid(tmp_path, **given)
    assert (slow.of.settings.steps, fast.of.settings.steps) == (4, 3) and slow.key != fast.key
    assert (slow.of.measures.final, fast.of.measures.final) == (tiny.MEASURES["final"], 5)
    assert slow.folder != fast.folder and slow.weights == fast.weights and fast.described["of"] == "digits"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tasks": {"digits-fast": {"task": "digts"}}}, ("tasks.digits-fast", "did you mean 'digits'")),
        ({"tasks": {"digits-fast": {"steps": 3}}}, ("tasks.digits-fast", "did you mean 'digits'")),
        ({"tasks": {"digits-fast": {"task": "digits", "stesp": 3}}}, ("tasks.digits-fast", "did you mean 'steps'")),
        (FAST | {"measures_by_task": {"digits-fats": {}}}, ("measures_by_task", "did you mean 'digits-fast'")),
    ],
)
def test_what_is_no_task_is_refused_with_its_place(
    tmp_path: Path, given: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(SettingsError) as raised:
        tiny.grid(tmp_path, **given)
    assert_paragraph(str(raised.value), *words)
