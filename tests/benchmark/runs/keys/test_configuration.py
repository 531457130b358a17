"""What of a configuration is part of a key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.keys import changed, keys, runs_of


def test_adding_a_seed_changes_no_other_key(tmp_path: Path) -> None:
    before = keys(tmp_path)
    after = keys(tmp_path, lambda data: data["grid"]["digits"].update(seeds=[5, 0, 1]))
    assert not changed(before, after)
    assert {axes[-1] for axes in set(after) - set(before)} == {5}


@pytest.mark.parametrize(
    ("method", "setting"),
    [
        ("papa", {"lr": 0.5}),
        ("fkc", {"beta_max": 9}),
        ("best_of_n", {"surrogate": {"lr": 0.5}}),
        ("base", {"labels": 9}),
    ],
)
def test_changing_a_methods_setting_changes_that_method_alone(tmp_path: Path, method: str, setting: dict) -> None:
    found = changed(keys(tmp_path), keys(tmp_path, lambda data: data["methods"][method].update(setting)))
    assert {name for _, name in runs_of(found)} == {method}


def test_a_default_that_is_written_out_changes_nothing(tmp_path: Path) -> None:
    assert not changed(keys(tmp_path), keys(tmp_path, lambda data: data["methods"]["papa"].update(c_qpde=0.75)))


def test_neither_order_nor_labels_nor_grouping_matter(tmp_path: Path) -> None:
    def shuffled(data: dict[str, Any]) -> None:
        for name in ("methods", "grid"):
            data[name] = dict(reversed(data[name].items()))
        for block in data["grid"].values():
            block["methods"] = list(reversed(block["methods"]))
            block["seeds"] = list(reversed(block["seeds"]))
        data["seeds_per_job"] = 1
        data["results"], data["confidence"] = "elsewhere", 0.9

    before = keys(tmp_path)
    assert keys(tmp_path, shuffled) == before

    def renamed(data: dict[str, Any]) -> None:
        data["methods"]["mine"] = {"algorithm": "papa"} | data["methods"].pop("papa")
        data["grid"]["digits"]["methods"] = ["mine"]

    mine = keys(tmp_path, renamed)["digits", "mine", "likes-3", 0]
    assert mine == before["digits", "papa", "likes-3", 0]


@pytest.mark.parametrize(
    ("change", "pools"),
    [({"root_seed": 1}, True), ({"tasks": {"digits": {"steps": 4}, "gmm2d": {"steps": 6}}}, True)],
)
def test_what_everything_depends_on_changes_everything(tmp_path: Path, change: dict, pools: bool) -> None:
    before = keys(tmp_path)
    assert changed(before, keys(tmp_path, lambda data: data.update(change))) == set(before)


def test_all_keys_of_a_grid_differ(tmp_path: Path) -> None:
    found = keys(tmp_path)
    assert len(set(found.values())) == len(found)


def test_noise_on_the_answers_is_part_of_the_key(tmp_path: Path) -> None:
    def noisy(data: dict[str, Any], flip: float) -> None:
        data["users"] = {"noisy": {"user": "likes-3", "flip": flip}}
        data["grid"]["digits"]["users"] = ["likes-3", "noisy"]

    one, two = (keys(tmp_path, lambda data, flip=flip: noisy(data, flip)) for flip in (0.1, 0.2))
    assert {axes[2] for axes in changed(one, two) if axes[1] not in ("score", "pool")} == {"noisy"}
    assert one["digits", "papa", "noisy", 0] != one["digits", "papa", "likes-3", 0]
