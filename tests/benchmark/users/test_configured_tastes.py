"""Tastes, and tasks that differ in settings only, are configuration: they need no line of code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import tiny
from support.command_line import Papa
from support.tiny import assert_paragraph
from support.users_of import user_of

from papa.benchmark.grid import load
from papa.benchmark.runs.align import build_user
from papa.benchmark.runs.record import read_record
from papa.benchmark.tasks.digits.task import Digits
from papa.benchmark.tasks.fruits.task import Fruits
from papa.errors import SettingsError
from papa.rng import Stream


def grid(folder: Path, task: str, users: dict[str, Any]) -> Any:
    block = {"task": task, "methods": ["base"], "users": list(users), "seeds": [0]}
    return tiny.grid(folder, block, users=users)


def test_a_class_of_ones_own(tmp_path: Path, digits: Digits) -> None:
    (spec,) = grid(tmp_path, "digits", {"likes-2": {"kind": "classes", "classes": [2]}})
    images, labels = digits.part("C")
    answers = build_user(spec, digits).answer(images, "binary", Stream(0)).preference
    assert (answers == (labels == 2)).mean() > 0.97


def test_two_apples_and_a_union(fruits: Fruits) -> None:
    configured = {
        "two-apples": {"kind": "concepts", "wanted": {"kind": "apple", "count": 2}},
        "pears-or-pairs": {"kind": "union", "members": [{"kind": "pear"}, {"count": 2}]},
    }
    images, shown = fruits.known_images()
    for label in configured:
        user = user_of("fruits", label, **configured)
        user.meet(fruits)
        truth = np.isin(shown, user.classes or ())
        assert 0 < truth.mean() < 0.6 and (user.verdict(images) == truth).mean() > 0.97


def test_noise_on_top_of_a_configured_taste(tmp_path: Path, digits: Digits) -> None:
    users = {
        "likes-2": {"kind": "classes", "classes": [2]},
        "errs": {"user": "likes-2", "flip": 1.0},
        "errs-itself": {"kind": "classes", "classes": [2], "flip": 1.0},
    }
    images = digits.part("C")[0][:50]
    told = [
        build_user(spec, digits).answer(images, "binary", Stream(0)).preference
        for spec in grid(tmp_path, "digits", users)
    ]
    np.testing.assert_array_equal(told[1], 1 - told[0])
    np.testing.assert_array_equal(told[2], told[1])


FAST = {"tasks": {"digits": {"steps": 4}, "digits-fast": {"task": "digits", "steps": 3}}}


@pytest.mark.usefixtures("small_blocks")
def test_tasks_that_differ_in_settings_only_are_run_beside_each_other(tmp_path: Path, papa: Papa) -> None:
    block = {"methods": ["base"], "users": ["likes-3"], "seeds": [0]}
    given = FAST | {
        "measures_by_task": {"digits-fast": {"final": 5, "base": 8, "per_round": 3}},
        "grid": {task: block | {"task": task} for task in FAST["tasks"]},
    }
    path = tiny.write(tmp_path, tiny.config(tmp_path, **given))
    specs = {spec.task: spec for spec in load(path)}
    for task, (steps, final, base, per_round) in {"digits": (4, 8, 16, 4), "digits-fast": (3, 5, 8, 3)}.items():
        assert papa("align", "--config", path, "--task", task, "--method", "base", "--user", "likes-3")[0] == 0
        spec = specs[task]
        record = read_record(spec.folder, spec.key)
        arrays, shared = record.arrays(), read_record(spec.base.folder, spec.base.key)
        assert (len(arrays["final"]), len(arrays["round_01"])) == (final, per_round)
        assert len(shared.arrays()["images"]) == base and shared.meta.total.forward >= base * steps
        assert record.meta.asked["of"] == "digits" and record.meta.task == task
        assert spec.folder == tmp_path / "results" / task / "runs" / "base" / "likes-3" / "seed0"
    assert papa("score", "--config", path)[0] == papa("collect", "--config", path)[0] == 0
    assert specs["digits"].key != specs["digits-fast"].key and specs["digits"].of.weights == (
        specs["digits-fast"].of.weights
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tasks": {"digits-fast": {"task": "digts"}}}, ("tasks.digits-fast", "did you mean 'digits'")),
        ({"tasks": {"digits-fast": {"steps": 3}}}, ("tasks.digits-fast", "did you mean 'digits'")),
        ({"tasks": {"digits-fast": {"task": "digits", "stesp": 3}}}, ("tasks.digits-fast", "did you mean 'steps'")),
        ({"tasks": {"fast": {"task": "digits", "sigma_max": 3}}}, ("tasks.fast", "unknown setting 'sigma_max'")),
        ({"tasks": {"fast": {"task": "digits", "steps": 0}}}, ("tasks.fast.steps",)),
        (FAST | {"measures_by_task": {"digits-fats": {}}}, ("measures_by_task", "did you mean 'digits-fast'")),
        (FAST | {"measures_by_task": {"digits-fast": {"finale": 3}}}, ("measures_by_task.digits-fast", "'final'")),
        (FAST | {"measures_by_task": {"digits-fast": {"final": 0}}}, ("measures_by_task.digits-fast.final",)),
    ],
)
def test_what_is_no_task_is_refused_with_its_place(
    tmp_path: Path, given: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(SettingsError) as raised:
        tiny.grid(tmp_path, **given)
    assert_paragraph(str(raised.value), *words)


@pytest.mark.parametrize(
    ("users", "words"),
    [
        ({"likes-3": {"flip": 1.0, "user": "likes-3"}}, ("users.likes-3", "another label")),
        ({"a": {"user": "b"}, "b": {"user": "a"}}, ("user of itself",)),
        ({"a": {"kind": "clases", "classes": [1]}}, ("users.a", "did you mean 'classes'")),
        ({"a": {"kind": "classes", "classes": []}}, ("users.a.classes",)),
        ({"a": {"kind": "classes", "classes": [True]}}, ("users.a.classes",)),
        ({"a": {"kind": "classes", "clases": [1]}}, ("users.a", "did you mean 'classes'")),
        ({"a": {"kind": "concepts", "wanted": {"kind": "apple"}}}, ("needs concepts", "likes-1479")),
        ({"a": {"kind": "classes", "classes": [1], "user": "likes-3"}}, ("users.a", "either")),
        ({"a": {"user": "likes-3", "flip": 0.1}, "b": {"user": "a", "flip": 0.1}}, ("users.b", "noise already")),
        ({"a": {"user": "likes-3", "answers": "stars"}}, ("users.a.answers", "'grades'")),
        ({"a": {"user": "likes-3", "answers": "pairs", "moods": 0.5}}, ("users.a", "leave one of them out")),
        ({"a": {"user": "likes-4"}}, ("users.a", "did you mean")),
        ({"a": {"user": "likes-3", "flip": 2}}, ("users.a.flip",)),
    ],
)
def test_what_is_no_user_is_refused_with_its_place(
    tmp_path: Path, users: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(SettingsError) as raised:
        grid(tmp_path, "digits", users)
    assert_paragraph(str(raised.value), *words)


def test_a_class_that_the_task_does_not_have_is_refused(digits: Digits) -> None:
    with pytest.raises(SettingsError, match="class 10"):
        user_of("digits", "a", a={"kind": "classes", "classes": [1, 10]}).meet(digits)
