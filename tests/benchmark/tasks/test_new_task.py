"""A task that does not exist yet, one folder with its settings and one line in the registry: aligned, scored, and shown
in tables and figures like the others."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.text import Text
from support import tiny
from support.command_line import Papa
from support.refusals import refused

from papa.benchmark.grid import Grid, load
from papa.benchmark.tasks import TASKS
from papa.errors import SettingsError
from papa.paper import select
from papa.paper.figures import labels, samples
from papa.paper.figures.style import paper
from papa.paper.long_table import read_table
from papa.paper.tables import make

DECLARED = '''
"""A task of somebody else's, with a setting of its own."""
from papa.benchmark.tasks.declaration import TaskDeclaration
from papa.models.settings import SamplingSettings
from papa.settings import Rate

class DummySettings(SamplingSettings):
    """Images of four pixels, dark or bright."""

    distance: Rate = 0.5
    """Of both kinds from grey."""

DUMMY = TaskDeclaration(
    DummySettings,
    "dummy_task_of_tests.task:Dummy",
    users={"likes-bright": {"kind": "classes", "classes": [1]}},
    offers=frozenset({"classes"}),
    finetunes=False,
)
'''
SOURCE = '''
"""A mixture whose points are seen as images of two by two pixels."""
import torch
from torch import nn
from papa.benchmark.tasks.images import Classifier, ClassifierJudge
from papa.benchmark.tasks.interface import Task
from papa.models.mixture import Mixture, MixtureModel

class Pixels(MixtureModel):
    def decode(self, latents):
        return latents.view(-1, 1, 2, 2)

class Brightness(Classifier):
    """Class 0 is dark, class 1 is bright."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), nn.Linear(2, 2)
        with torch.no_grad():
            self.body[1].weight.copy_(torch.tensor([[-4.0] * 4, [4.0] * 4]))
            self.body[1].bias.zero_()
            self.head.weight.copy_(torch.eye(2))
            self.head.bias.zero_()
        self.requires_grad_(False)

    def forward(self, images):
        return super().forward(images.float())

class Dummy(Task):
    def load_model(self):
        means = self.settings.distance * torch.tensor([[-1.0] * 4, [1.0] * 4])
        mixture = Mixture(torch.tensor([0.7, 0.3]), means, 0.01 * torch.eye(4).expand(2, 4, 4))
        return Pixels(mixture, self.settings.steps, device=self.device)

    def gold_network(self):
        return Brightness()

    def judges(self):
        return {"gold": ClassifierJudge(Brightness()), "held_out": ClassifierJudge(Brightness())}
'''
FEW = {"labels": 6, "per_round": 2}
METHODS: dict[str, Any] = {
    "base": FEW,
    "best_of_n": FEW | {"n": 2, "surrogate": {"epochs": 20, "channels": 8}},
    "told": FEW | {"algorithm": "fkc", "reward": "true", "particles": 16, "beta_max": 50},
}


@pytest.fixture
def dummy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """One new folder and one line in the registry."""
    home = tmp_path / "dummy_task_of_tests"
    home.mkdir()
    (home / "__init__.py").write_text(DECLARED, encoding="utf-8")
    (home / "task.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(TASKS, "dummy", "dummy_task_of_tests:DUMMY")
    importlib.invalidate_caches()
    yield "dummy"
    for module in ("dummy_task_of_tests", "dummy_task_of_tests.task"):
        sys.modules.pop(module, None)


def configured(tmp_path: Path, **given: Any) -> Path:
    """The task as it is, and once more with other settings and a user of the configuration."""
    names = list(METHODS)
    data = tiny.config(
        tmp_path,
        {"task": "dummy", "methods": names, "users": ["likes-bright"], "seeds": [0]},
        methods=METHODS,
        tasks={"dummy": {"steps": 6}, "dummy-far": {"task": "dummy", "steps": 6, "distance": 0.9}},
        users={"likes-dark": {"kind": "classes", "classes": [0]}},
    )
    data["grid"]["far"] = {"task": "dummy-far", "methods": names, "users": ["likes-dark"], "seeds": [0]}
    return tiny.write(tmp_path, data | given)


@pytest.fixture
def ran(dummy: str, tmp_path: Path, papa: Papa, small_blocks: None) -> Grid:
    """All runs are done, scored and collected."""
    path = configured(tmp_path)
    for task, user in (("dummy", "likes-bright"), ("dummy-far", "likes-dark")):
        assert papa("base", "--config", path, "--task", task, "--seeds", "0")[0] == 0
        for method in METHODS:
            assert papa("align", "--config", path, "--task", task, "--method", method, "--user", user)[0] == 0
    assert papa("collect", "--config", path)[0] == 0
    return load(path)


def test_a_new_task_appears_in_scores_tables_and_figures(ran: Grid, tmp_path: Path, papa: Papa) -> None:
    table = read_table(ran)
    assert {(row.task, row.user) for row in table.itertuples()} == {
        ("dummy", "likes-bright"),
        ("dummy-far", "likes-dark"),
    }
    final = table[(table.metric == "preference_gold") & (table.stage == "final")].set_index(["task", "method"]).value
    assert final["dummy", "told"] > final["dummy", "base"], "what is liked is found"
    made = make("T1", table, ran)
    assert {"dummy", "dummy-far"} == set(made.frame.task)
    assert "likes-dark" in made.markdown and "likes-bright" in made.markdown
    with paper():
        for figure in (labels, samples):
            drawn = figure.draw(select.check(table), ran)
            said = {text.get_text() for text in drawn.findobj(Text) if isinstance(text, Text)}
            assert all(any(user in text for text in said) for user in ("likes-bright", "likes-dark")), figure.__name__
    path = tmp_path / "config.yaml"
    assert papa("make", "T1", "--config", path)[0] == papa("make", "F1", "--config", path)[0] == 0
    assert "dummy-far" in (tmp_path / "results" / "tables" / "T1.csv").read_text(encoding="utf-8")


def test_its_source_is_part_of_its_runs_keys(dummy: str, tmp_path: Path) -> None:
    def keys() -> set[str]:
        from papa.benchmark.runs import key

        for cached in (key.owned, key.shared, key.behaviour, key.source_hash):
            cached.cache_clear()
        return {spec.key for spec in load(configured(tmp_path)).select(task="dummy")}

    before, source = keys(), tmp_path / "dummy_task_of_tests" / "task.py"
    source.write_text(SOURCE.replace('"""Class 0 is dark', '"""Class 0 is quite dark'), encoding="utf-8")
    assert keys() == before
    source.write_text(SOURCE.replace("[0.7, 0.3]", "[0.6, 0.4]"), encoding="utf-8")
    assert not keys() & before


def test_a_method_that_fine_tunes_is_refused_on_it(dummy: str, tmp_path: Path) -> None:
    block = {"task": "dummy", "methods": ["base", "papa"], "users": ["likes-bright"], "seeds": [0]}
    path = configured(tmp_path, methods=METHODS | {"papa": FEW}, grid={"main": block})
    refused(SettingsError, lambda: load(path), "papa", "fine-tunes", "dummy")
