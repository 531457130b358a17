"""A new method, one file and one line in the registry: it keeps the contract and is in the tables and figures."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from methods import test_conformance as conformance
from support import tiny

from papa import cli
from papa.benchmark import grid
from papa.methods import METHODS
from papa.paper.figures import plot
from papa.paper.long_table import read_table
from papa.paper.tables import make

DUMMY = '''
"""Shows base samples and returns the liked ones."""
from papa.feedback import Query
from papa.registry import lazy
from papa.methods.declaration import Declaration, MethodSettings
from papa.methods.interface import Method
from papa.settings import Fraction

torch = lazy("torch")

class DummySettings(MethodSettings):
    """Its settings."""

    keep: Fraction = 1.0
    """Share of the liked ones that is kept."""

class Dummy(Method):
    liked = None

    def ask(self, k):
        return self.base_query(k)

    def learn(self, query, feedback):
        new = query.latents[torch.from_numpy(feedback.preference == 1)]
        self.liked = new if self.liked is None else torch.cat([self.liked, new])

    def sample(self, n):
        base = self.base_latents(n)
        if self.liked is not None and len(self.liked):
            kept = max(1, round(self.settings.keep * len(self.liked)))
            base = self.liked[torch.arange(n) % kept]
        return base

DUMMY = Declaration(DummySettings, Dummy, "an example")
'''


def written(folder: Path) -> str:
    """One new file; returns its line of the registry."""
    (folder / "dummy_of_tests.py").write_text(DUMMY, encoding="utf-8")
    importlib.invalidate_caches()
    return "dummy_of_tests:DUMMY"


@pytest.fixture
def dummy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """One new file and one line in the registry."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(METHODS, "dummy", written(tmp_path))
    yield "dummy"
    sys.modules.pop("dummy_of_tests", None)


def test_the_contract_holds(dummy: str) -> None:
    for task in ("digits", "gmm2d"):
        conformance.test_shapes_diagnostics_and_cost(dummy, task)
        conformance.test_asking_and_sampling_change_nothing_and_the_log_gives_the_same_method(dummy, task)


@pytest.mark.usefixtures("small_blocks")
def test_a_new_method_appears_in_the_long_table_tables_and_figures(
    dummy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block = {"task": "digits", "methods": ["base", "dummy"], "users": ["likes-1479"], "seeds": [0]}
    few = {"labels": 4, "per_round": 2}
    methods = {"base": few, "dummy": few, "dummy-half": few | {"algorithm": "dummy", "keep": 0.5}}
    data = tiny.config(tmp_path, block, methods=methods)
    data["grid"]["ablations"] = block | {"methods": ["dummy-half"]}
    path = str(tiny.write(tmp_path, data))
    assert cli.main(["base", "--config", path, "--task", "digits", "--seeds", "0"]) == 0
    for method in methods:
        run = ["align", "--config", path, "--task", "digits", "--method", method, "--user", "likes-1479"]
        assert cli.main(run) == 0
    assert cli.main(["collect", "--config", path]) == 0
    of = grid.load(path)
    table = read_table(of)
    assert set(table.method) == {"base", "dummy", "dummy-half"}
    mine = table[(table.method == "dummy") & (table.metric == "preference_gold")]
    assert len(mine) and mine.value.between(0, 1).all()
    made = make("T1", table, of)
    assert "dummy" in set(made.frame.method) and "| dummy" in made.markdown
    assert {"dummy", "dummy-half"} <= set(make("T4", table, of).frame.method), "its ablation is compared with it"
    assert "dummy" in set(make("T3", table, of).frame.method)

    legends: list[str] = []
    monkeypatch.setattr("papa.paper.figures.style.legend_below", remember(legends))
    plot("F1", table, of, tmp_path / "figures")
    assert (tmp_path / "figures" / "F1.png").stat().st_size > 1000
    assert "dummy" in legends
    assert cli.main(["make", "T1", "--config", path]) == cli.main(["make", "F1", "--config", path]) == 0
    assert "dummy" in pd.read_csv(Path(of.config.results) / "tables" / "T1.csv").method.tolist()


def remember(found: list[str]) -> Callable[..., None]:
    """Takes the labels that a figure's legend would show."""
    from papa.paper.figures import style

    real = style.legend_below

    def legend_below(figure: Any, axes: Any, *args: Any, **kwargs: Any) -> Any:
        panels = list(axes)
        found.extend(panels[0].get_legend_handles_labels()[1])
        return real(figure, panels, *args, **kwargs)

    return legend_below
