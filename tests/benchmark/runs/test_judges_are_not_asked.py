"""No method ever asks a judge that only measures: its calls are counted during whole runs of every method."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.every_method import fits

from papa.benchmark.runs.align import align
from papa.benchmark.runs.base_samples import draw_base_samples
from papa.benchmark.runs.score import Scorer
from papa.benchmark.specs import RunSpec
from papa.benchmark.tasks.digits import DigitsSettings
from papa.benchmark.tasks.digits.task import Digits
from papa.methods import METHODS, declaration


class Counting:
    """A judge, or a network of measures, whose calls are counted."""

    def __init__(self, of: Any, name: str, calls: Counter[str]) -> None:
        self._of, self._name, self._calls = of, name, calls

    def __call__(self, *given: Any) -> Any:
        self._calls[self._name] += 1
        return self._of(*given)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._of, name)
        return Counting(found, self._name, self._calls) if callable(found) else found


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> tuple[Digits, Counter[str]]:
    """The digits, with every judge but the one that labels counted, and the references as well."""
    task, calls = Digits(DigitsSettings(steps=3)), Counter()
    judges, references = task.judges(), task.references()
    for name, judge in judges.items():
        if name != "gold":
            judges[name] = Counting(judge, name, calls)
    object.__setattr__(references, "features", Counting(references.features, "features", calls))
    monkeypatch.setattr(task, "judges", lambda: judges)
    monkeypatch.setattr(task, "references", lambda: references)
    return task, calls


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", [name for name in METHODS if fits(name, "digits")])
def test_a_method_asks_only_the_judge_that_labels(
    name: str, counted: tuple[Digits, Counter[str]], tmp_path: Path
) -> None:
    task, calls = counted
    settings = tiny.small(declaration(name).settings).model_dump(mode="json", exclude_unset=True)
    block = {"task": "digits", "methods": [name], "users": ["likes-1479"], "seeds": [0]}
    (spec,) = tiny.grid(tmp_path, block, methods={name: settings})
    _run(spec, task)
    assert not calls
    Scorer(spec, task).score(spec)
    assert calls["held_out"] and calls["features"]


def _run(spec: RunSpec, task: Digits) -> None:
    draw_base_samples(spec.base, task.model)
    align(spec, task, lambda text: None)
