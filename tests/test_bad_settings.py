"""Configurations and arguments that are wrong: one paragraph that names the place, and nothing is run or written."""

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
from papa.benchmark.metrics import METRICS
from papa.errors import SettingsError
from papa.registry import find

Data = dict[str, Any]
Spoil = Callable[[Data], Any]

SPOILED: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "unknown key": (lambda d: d.update(mesures={}), ("mesures", "'measures'")),
    "unknown key of a method": (lambda d: d["methods"]["papa"].update(c_qdpe=1), ("methods.papa", "'c_qpde'")),
    "unknown key of a user": (lambda d: d.update(users={"u": {"user": "linear", "flips": 0.1}}), ("users.u", "'flip'")),
    "unknown task": (lambda d: d["grid"]["main"].update(task="gmm2"), ("task 'gmm2'", "'gmm2d'")),
    "unknown method": (lambda d: d["grid"]["main"].update(methods=["fck"]), ("grid.main.methods", "'fkc'")),
    "unknown user": (lambda d: d["grid"]["main"].update(users=["liner"]), ("grid.main.users", "'linear'")),
    "user of another task": (lambda d: d["grid"]["main"].update(users=["likes-3"]), ("likes-3", "gmm2d")),
    "unknown choice": (lambda d: d["methods"]["fkc"].update(resampling="multinomial"), ("resampling", "systematic")),
    "negative": (lambda d: d["methods"]["fkc"].update(labels=-8), ("methods.fkc.labels", "-8")),
    "infinite": (lambda d: d["methods"]["fkc"].update(beta_max=float("inf")), ("methods.fkc.beta_max", "finite")),
    "a bool": (lambda d: d["methods"]["papa"].update(lr=True), ("methods.papa: lr", "bool")),
    "a huge seed": (lambda d: d["grid"]["main"].update(seeds=[2**63]), ("grid.main.seeds.0", "less than")),
    "a seed twice": (lambda d: d["grid"]["main"].update(seeds=[1, 0, 1]), ("grid.main.seeds", "duplicate entry 1")),
    "no seeds": (lambda d: d["grid"]["main"].update(seeds=[]), ("grid.main.seeds", "at least 1")),
    "settings of a known name": (lambda d: d["methods"].update(base={"algorithm": "papa"}), ("methods.base",)),
    "a method without its network": (lambda d: d["grid"]["main"].update(methods=["papa"]), ("papa", "gmm2d")),
    "settings that exclude each other": (
        lambda d: d["methods"]["fkc"].update(weights="continuous"),
        ("methods.fkc", "gradient"),
    ),
    "a user without a taste": (lambda d: d.update(users={"u": {"flip": 1.0}}), ("users.u",)),
    "a user of the task again": (lambda d: d.update(users={"linear": {"user": "quadratic"}}), ("users.linear",)),
    "users in a circle": (lambda d: d.update(users={"u": {"user": "v"}, "v": {"user": "u"}}), ("users.", "itself")),
    "a subset of one": (lambda d: d["measures"].update(kid_subset=1), ("measures.kid_subset", "2")),
    "device": (lambda d: d.update(device="gpu"), ("device", "cuda")),
    "a number as a label": (lambda d: d["methods"].update({7: {}}), ("methods", "in quotes", "'7'")),
    "a folder of the sources": (lambda d: d.update(results="papa"), ("results", "another purpose")),
    # Labels become names of files, wildcards of Snakemake and words of a shell: letters, digits and a few marks.
    "a label for the shell": (lambda d: d["methods"].update({"$(touch x)": {"algorithm": "fkc"}}), ("methods",)),
    "a label with a path": (lambda d: d["tasks"].update({"../x": {"task": "gmm2d"}}), ("tasks",)),
    "labels that differ in case": (lambda d: d["methods"].update(FKC={"algorithm": "fkc"}), ("fkc and FKC", "rename")),
    "a folder for the shell": (lambda d: d.update(results="a;b"), ("results",)),
}


@pytest.mark.parametrize(("spoil", "words"), SPOILED.values(), ids=SPOILED.keys())
def test_wrong_settings_are_named_with_their_place(tmp_path: Path, spoil: Spoil, words: tuple[str, ...]) -> None:
    data = tiny.config(tmp_path)
    spoil(data)
    with pytest.raises(SettingsError) as caught:
        grid.load(tiny.write(tmp_path, data))
    assert_paragraph(str(caught.value), *words)


def test_what_is_right_is_taken(tmp_path: Path) -> None:
    data = tiny.config(tmp_path)
    data["methods"]["A-b_c.2+x=1"] = {"algorithm": "fkc", "labels": 2, "per_round": 2}
    assert len(grid.load(tiny.write(tmp_path, data), {"root_seed": 9})) == 4


def test_every_command_refuses_and_writes_nothing(tmp_path: Path, refused: Callable[..., str]) -> None:
    path = tiny.write(tmp_path, tiny.config(tmp_path) | {"confidence": 2, "seeds_per_job": 0})
    for command in (["doctor", "--config", path], align(path)):
        refused(*command, words=("confidence", "seeds_per_job"))
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


TEXTS = {
    "no YAML": ("results: [unclosed", ("not valid YAML", "line")),
    "empty": ("", ("has no settings",)),
    "a key twice": ("methods: {fkc: {labels: 8, labels: 9}}", ("'labels'", "duplicate", "line")),
    "extends nothing": ("extends: nowhere.yaml\nresults: x", ("nowhere.yaml",)),
    "extends itself": ("extends: config.yaml\nresults: x", ("extends itself",)),
}


@pytest.mark.parametrize(("text", "words"), TEXTS.values(), ids=TEXTS.keys())
def test_files_that_are_no_configuration(
    tmp_path: Path, refused: Callable[..., str], text: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "config.yaml").write_text(text)
    refused(*align(tmp_path / "config.yaml"), words=words)


def test_a_missing_configuration_and_bytes_that_are_no_text(tmp_path: Path, refused: Callable[..., str]) -> None:
    refused(*align(tmp_path / "nowhere.yaml"), words=("nowhere.yaml", "config.yaml"))
    (tmp_path / "config.yaml").write_bytes(b"results: \xff\xfe")
    refused(*align(tmp_path / "config.yaml"), words=("not valid YAML",))


PARENT = """
root_seed: 5
measures: {final: 8, served: 4, per_round: 4, base: 16}
tasks: {gmm2d: {steps: 5}}
methods: {base: {labels: 4, per_round: 2}, fkc: {labels: 4, per_round: 2, particles: 6}}
users: {noisy: {user: linear, flip: 0.1}}
grid: {main: {task: gmm2d, methods: [base, fkc], users: [linear], seeds: [0]}}
personal: {task: fruits}
"""


def extended(folder: Path, child: str) -> grid.Grid:
    (folder / "sub").mkdir(exist_ok=True)
    (folder / "parent.yaml").write_text(PARENT)
    (folder / "sub" / "child.yaml").write_text("extends: ../parent.yaml\n" + child)
    return grid.load(folder / "sub" / "child.yaml")


def test_a_configuration_that_extends_another_adds_and_replaces(tmp_path: Path) -> None:
    found = extended(
        tmp_path,
        """
measures: {final: 9}
tasks: {plane: {task: gmm2d, steps: 7}}
methods: {fkc: {labels: 2, per_round: 2}, fkc-b9: {algorithm: fkc, labels: 4, per_round: 2, beta_max: 9}}
grid_also: {more: {task: plane, methods: [fkc-b9], users: [noisy], seeds: [3]}}
""",
    )
    axes = {("gmm2d", "base", "linear", 0), ("gmm2d", "fkc", "linear", 0), ("plane", "fkc-b9", "noisy", 3)}
    assert set(found.specs) == axes and found.config.root_seed == 5
    assert found.config.personal is None, "a study belongs to the file that names it"
    assert (found.measures("plane").final, found.measures("plane").base) == (9, 16)
    settings = found.methods["fkc"].settings.model_dump()
    assert settings["labels"] == 2 and settings["particles"] != 6, "an entry is replaced as a whole"
    only = extended(tmp_path, "grid: {only: {task: gmm2d, methods: [base], users: [noisy], seeds: [2]}}")
    assert set(only.specs) == {("gmm2d", "base", "noisy", 2)}


@pytest.mark.parametrize("child", ["grid_also: {main: {task: gmm2d}}", "grid_also: [main]", "methods: [fkc]"])
def test_configurations_that_extend_wrongly(tmp_path: Path, child: str) -> None:
    with pytest.raises(SettingsError) as caught:
        extended(tmp_path, child)
    assert_paragraph(str(caught.value), child.split(":")[0])


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"task": "gmm2"}, ("task 'gmm2'", "'gmm2d'")),
        ({"method": "bas"}, ("method 'bas'", "'base'")),
        ({"user": "liner"}, ("user 'liner'", "'linear'")),
        ({"seeds": "7"}, ("7", "grid")),
        ({"override": json.dumps({"devise": "cpu"})}, ("'device'",)),
        ({"override": "{device: cpu}"}, ("--override", "JSON")),
    ],
)
def test_wrong_arguments_are_named(tmp_path: Path, refused: Callable[..., str], axes: Data, words: tuple) -> None:
    refused(*align(tiny.write(tmp_path, tiny.config(tmp_path)), **axes), words=words)


def test_unknown_names_offer_the_nearest_known_one(papa: Papa) -> None:
    with pytest.raises(SettingsError, match="did you mean 'diversity'"):
        find("metric", METRICS, "diversty")
    for argv in ([], ["allign"], ["base"], ["make"], ["reference", "wrote"]):
        code, said = papa(*argv)
        assert code != 0 and "usage: papa" in said


def test_cuda_that_is_not_there(tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = tiny.write(tmp_path, tiny.config(tmp_path) | {"device": "cuda:0"})
    refused(*align(path), words=("cuda:0", "no CUDA device", "device: auto"))
    assert not (tmp_path / "results").exists()


@pytest.mark.usefixtures("small_blocks")
def test_auto_falls_back_to_the_cpu_and_says_so(tmp_path: Path, papa: Papa, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, said = papa(*align(tiny.write(tmp_path, tiny.config(tmp_path) | {"device": "auto"})))
    assert code == 0 and "device: auto -> cpu" in said
