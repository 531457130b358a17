"""Settings that are wrong, or that this machine cannot have, are named with their place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import tiny
from support.command_line import Papa, align
from support.tiny import assert_paragraph

from papa.benchmark import grid
from papa.errors import SettingsError

# ---------------------------------------------------------------- settings


SPOILED: list[tuple[str, Callable[[dict[str, Any]], Any], tuple[str, ...]]] = [
    ("top-level", lambda d: d.update(mesures={}), ("mesures", "'measures'")),
    ("in a method", lambda d: d["methods"]["papa"].update(c_qdpe=1), ("methods.papa", "c_qdpe", "'c_qpde'")),
    ("in the surrogate", lambda d: d["methods"]["fkc"].update(surrogate={"epoch": 1}), ("surrogate", "'epochs'")),
    ("of another method", lambda d: d["methods"]["papa"].update(particles=4), ("methods.papa", "'particles'")),
    ("in a task", lambda d: d["tasks"]["digits"].update(step=3), ("tasks.digits", "'steps'")),
    ("in a block", lambda d: d["grid"]["main"].update(seed=[0]), ("grid.main", "'seeds'")),
    ("in the measures", lambda d: d["measures"].update(finals=3), ("measures", "'final'")),
    ("in a user", lambda d: d.update(users={"u": {"flips": 0.1}}), ("users.u", "'flip'")),
    ("negative budget", lambda d: d["methods"]["fkc"].update(labels=-8), ("methods.fkc.labels", "-8", "greater")),
    ("budget of nothing", lambda d: d["methods"]["fkc"].update(labels=0), ("methods.fkc.labels", "greater")),
    ("budget in words", lambda d: d["methods"]["fkc"].update(labels="many"), ("methods.fkc.labels", "integer")),
    ("negative seed", lambda d: d["grid"]["main"].update(seeds=[-1]), ("grid.main.seeds", "greater")),
    ("negative samples", lambda d: d["measures"].update(final=-1), ("measures.final", "greater")),
    ("negative rate", lambda d: d["methods"]["papa"].update(lr=-1e-3), ("methods.papa.lr", "greater")),
    ("probability", lambda d: d.update(users={"u": {"missing": 1.5}}), ("users.u.missing", "less")),
    ("unknown choice", lambda d: d["methods"]["fkc"].update(resampling="multinomial"), ("resampling", "systematic")),
    ("wrong form", lambda d: d["methods"]["fkc"].update(weights="continuous"), ("methods.fkc", "gradient: through")),
    ("unknown task", lambda d: d["grid"]["main"].update(task="gmm2"), ("task 'gmm2'", "'gmm2d'")),
    ("settings of an unknown task", lambda d: d["tasks"].update(digit={}), ("task 'digit'", "'digits'")),
    ("unknown method", lambda d: d["grid"]["main"].update(methods=["fck"]), ("grid.main.methods", "'fck'", "'fkc'")),
    ("unknown algorithm", lambda d: d["methods"].update(x={"algorithm": "pappa"}), ("'pappa'", "'papa'")),
    ("unknown user", lambda d: d["grid"]["main"].update(users=["liner"]), ("grid.main.users", "'liner'", "'linear'")),
    ("user of another task", lambda d: d["grid"]["main"].update(users=["likes-3"]), ("likes-3", "gmm2d")),
    ("no methods", lambda d: d.pop("methods"), ("methods", "required")),
    ("no grid", lambda d: d.pop("grid"), ("grid", "required")),
    ("device", lambda d: d.update(device="gpu"), ("device", "cuda")),
]


@pytest.mark.parametrize(("spoil", "words"), [case[1:] for case in SPOILED], ids=[case[0] for case in SPOILED])
def test_invalid_settings_are_named_with_their_place(
    tmp_path: Path, refused: Callable[..., str], spoil: Callable[[dict[str, Any]], Any], words: tuple[str, ...]
) -> None:
    data = tiny.config(tmp_path)
    grid.load(tiny.write(tmp_path, data))  # sound before
    spoil(data)
    path = tiny.write(tmp_path, data)
    with pytest.raises(SettingsError) as caught:
        grid.load(path)
    assert_paragraph(str(caught.value), *words)
    refused(*align(path), words=words)
    assert not (tmp_path / "results").exists()


def test_several_mistakes_are_all_named(tmp_path: Path) -> None:
    data = tiny.config(tmp_path) | {"seeds_per_job": 0, "confidence": 2}
    with pytest.raises(SettingsError, match=r"confidence.*less than 1") as caught:
        grid.load(tiny.write(tmp_path, data))
    assert "seeds_per_job" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("results: [unclosed", ("not valid YAML", "line")),
        ("a: b: c", ("not valid YAML",)),
        ("\t- x", ("not valid YAML",)),
        ("", ("holds no settings",)),
        ("just words", ("holds no settings",)),
        ("- a\n- list", ("holds no settings",)),
        ("results: \x00", ("not valid YAML",)),
        ("extends: config.yaml\nresults: x", ("extends",)),
        ("extends: nowhere.yaml\nresults: x", ("nowhere.yaml",)),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, refused: Callable[..., str], text: str, words: tuple) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    refused(*align(path), words=words)


def test_bytes_that_are_no_text(tmp_path: Path, refused: Callable[..., str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"results: \xff\xfe")
    refused(*align(path), words=("not valid YAML",))


def test_a_missing_configuration(tmp_path: Path, refused: Callable[..., str]) -> None:
    refused(*align(tmp_path / "nowhere.yaml"), words=("nowhere.yaml", "config.yaml"))


@pytest.mark.parametrize("text", ["{device: cpu}", "[1]", '"cpu"', "{"])
def test_an_override_that_is_no_json_object(tmp_path: Path, refused: Callable[..., str], text: str) -> None:
    path = tiny.write(tmp_path, tiny.config(tmp_path))
    refused(*align(path), "--override", text, words=("--override", "JSON"))


def test_a_misspelled_override_is_refused_and_a_right_one_wins(tmp_path: Path, refused: Callable[..., str]) -> None:
    path = tiny.write(tmp_path, tiny.config(tmp_path))
    refused(*align(path), "--override", json.dumps({"devise": "cpu"}), words=("'device'",))
    assert grid.load(path, {"root_seed": 9}).config.root_seed == 9


# ---------------------------------------------------------------- devices


def test_cuda_that_is_asked_for_and_absent(
    tmp_path: Path, refused: Callable[..., str], papa: Papa, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = tiny.write(tmp_path, tiny.config(tmp_path) | {"device": "cuda:0"})
    refused(*align(path), words=("cuda:0", "no CUDA device", "device: auto", "nvidia-smi"))
    assert not (tmp_path / "results").exists()
    assert papa("doctor", "--config", path)[0] != 0


@pytest.mark.usefixtures("small_blocks")
def test_auto_falls_back_to_the_cpu_and_says_so(tmp_path: Path, papa: Papa, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, said = papa(*align(tiny.write(tmp_path, tiny.config(tmp_path) | {"device": "auto"})))
    assert code == 0 and "device: auto -> cpu" in said
