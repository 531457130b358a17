"""A pipeline of one's own as a task: an entry of a configuration, from which everything up to tables is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
from support import tiny, tiny_families
from support.command_line import Papa
from support.tiny import assert_paragraph

from papa.benchmark.grid import load
from papa.paper import tables
from papa.paper.long_table import read_table

METHODS: dict[str, Any] = {
    "base": {"labels": 4, "per_round": 2},
    "papa": {"labels": 4, "per_round": 2, "updates": 1, "items": 4, "timesteps": 3, "trainable": "lora", "lr": 1e-2},
    "fkc": {"labels": 4, "per_round": 2, "particles": 4, "surrogate": {"epochs": 2, "channels": 4}},
}


def configured(tmp_path: Path, family: str, **given: Any) -> Path:
    """An experiment on a tiny pipeline of a family."""
    own = {"task": "pipeline"} | tiny_families.own_task(family, **given)
    data = tiny.config(
        tmp_path,
        {"task": "mine", "methods": list(METHODS), "users": ["pears"], "seeds": [0]},
        methods=METHODS,
        tasks={"mine": own},
        users=tiny_families.PEARS,
    )
    data["measures"]["retention"] = 2
    return tiny.write(tmp_path, data)


@pytest.mark.parametrize("family", ["Stable Diffusion 3", "Stable Diffusion, v"])
def test_runs_tables_and_export_without_code(family: str, tmp_path: Path, papa: Papa, small_blocks: None) -> None:
    path = configured(tmp_path, family)
    assert papa("base", "--config", path, "--task", "mine", "--seeds", "0")[0] == 0
    for method in METHODS:
        assert papa("align", "--config", path, "--task", "mine", "--method", method, "--user", "pears")[0] == 0
    assert papa("collect", "--config", path)[0] == 0
    grid = load(path)
    made = tables.make("T2", read_table(grid), grid)
    assert {row for row in METHODS if f"| {row} " in made.markdown} == set(METHODS)
    out = tmp_path / "out"
    axes = ["--task", "mine", "--method", "papa", "--user", "pears", "--seeds", "0"]
    assert papa("export", "--config", path, *axes, "--to", out)[0] == 0
    aligned = next(file.parent for file in out.rglob("model_index.json"))
    loader: Any = diffusers.DiffusionPipeline
    index = json.loads((tiny_families.folder(family) / "model_index.json").read_text())
    assert type(loader.from_pretrained(aligned, local_files_only=True)).__name__ == index["_class_name"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": ""}, ("name a model", "model: my-pipeline")),
        ({"model": "/nowhere"}, ("/nowhere", "model_index.json")),
        ({"bank": {}}, ("prompt bank is empty",)),
        ({"sha256": {"model_index.json": "0" * 64}}, ("model_index.json", "sha256")),
    ],
    ids=["no folder", "no such folder", "no prompts", "other weights"],
)
def test_the_doctor_says_what_is_missing(
    given: dict[str, Any], words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from papa import cli

    path = configured(tmp_path, "Stable Diffusion", **given)
    assert cli.main(["doctor", "--config", str(path)]) == 2
    said = capsys.readouterr()
    line = next(line for line in said.out.splitlines() if all(word in line for word in words))
    assert_paragraph(line, *words)
