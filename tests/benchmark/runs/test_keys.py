"""Keys follow settings, weights and sources: what computes a value changes its key, and no other one."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import tiny

from papa.benchmark.config import Measures
from papa.benchmark.grid import load
from papa.benchmark.runs import key, personal
from papa.benchmark.tasks import TASKS
from papa.methods import METHODS

PAPA = Path(key.__file__).parents[2]
GRID: dict[str, Any] = {
    "digits": {"task": "digits", "methods": ["base", "papa", "fkc", "best_of_n"], "users": ["likes-3"], "seeds": [0]},
    "plane": {"task": "gmm2d", "methods": ["base", "fkc"], "users": ["linear"], "seeds": [0]},
    "fruits": {"task": "fruits", "methods": ["base"], "users": ["apple"], "seeds": [0]},
}
Keys = dict[tuple[str, ...], str]


def changed(before: Keys, after: Keys) -> set[tuple[str, ...]]:
    return {axes for axes in before if before[axes] != after.get(axes)}


def of(kind: str, found: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
    return {axes[1:] for axes in found if axes[0] == kind}


ALL = {(block["task"], method) for block in GRID.values() for method in block["methods"]}
DIGITS = {axes for axes in ALL if axes[0] == "digits"}


class Sources:
    """A copy of the package's sources that keys are made from, and that a test may edit."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.package, self.known = root, root / "copy" / "papa", {}
        shutil.copytree(
            PAPA, self.package, ignore=shutil.ignore_patterns("*.safetensors", "*.gz", "*.png", "__pycache__")
        )
        monkeypatch.setattr(key, "PACKAGE", self.package)
        monkeypatch.setattr(key, "behaviour", self.behaviour)
        self.before = self.keys()

    def behaviour(self, file: Path) -> str:
        if file not in self.known:
            self.known[file] = BEHAVIOUR(file)
        return self.known[file]

    def keys(self, change: Callable[[dict[str, Any]], Any] = lambda data: None) -> Keys:
        """("run" | "base" | "score", task, method) -> key; and that of the personal study."""
        for cached in (key.owned, key.shared, key.source_hash, key.artefact_hashes):
            cached.cache_clear()
        data = tiny.config(self.root) | {"grid": {name: dict(block) for name, block in GRID.items()}}
        data["personal"] = {"task": "fruits"}
        change(data)
        grid = load(tiny.write(self.root, data))
        found: Keys = {("study",): personal.key_of(grid)}
        for spec in grid:
            found["run", spec.task, spec.method] = spec.key
            found["score", spec.task, spec.method] = spec.score_key
            found["base", spec.task] = spec.base.key
        return found

    def write(self, file: Path, text: str) -> set[tuple[str, ...]]:
        """The keys that change with a new text of a source, which is then put back."""
        old = file.read_bytes() if file.exists() else None
        file.write_text(text, encoding="utf-8")
        self.known.pop(file, None)
        found = changed(self.before, self.keys())
        file.unlink() if old is None else file.write_bytes(old)
        self.known.pop(file, None)
        return found

    def edit(self, name: str) -> set[tuple[str, ...]]:
        """The keys that change if a source does something else."""
        file = self.package / name
        return self.write(file, file.read_text(encoding="utf-8") + "\nEDITED = True\n")


BEHAVIOUR = key.behaviour.__wrapped__


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sources]:
    yield Sources(tmp_path, monkeypatch)
    monkeypatch.undo()
    for cached in (key.owned, key.shared, key.behaviour, key.source_hash, key.artefact_hashes):
        cached.cache_clear()


CONSTANTS = [
    ("run", r'"c_qpde": 0\.009'),
    ("run", r"STRADDLE = 1\.96"),
    ("run", r"JITTER = 1e-6"),
    ("run", r"TAUS = \(.*\)"),
    ("run", r"LEAST_SHARE = 1 / 8"),
    ("run", r"RELEASED_BETAS = \(.*\)"),
    ("run", r"HALVINGS = 40"),
    ("run", r"LEAST_GAP = 1e-4"),
    ("run", r"finfo\(torch\.float64\)\.eps"),
    ("base", r"BLOCK = 1024"),
    ("base", r"WEIGHTS = \(0.*\)"),
    ("base", r"GAMMA: Any = 0\.02|GAMMA = 0\.02"),
    ("base", r"REFERENCES = 2048"),
    ("score", r"MIXES = 16"),
    ("score", r"MOST = 1024"),
    ("score", r"AMORTIZED_OVER = 100"),
    ("score", r"NEIGHBOURS = 5"),
    ("score", r"ENOUGH = 8"),
    ("study", r"SHOTS = \(.*\)"),
    ("study", r"STEPS = 5"),
    ("study", r"PAIRS = 48"),
]
"""Constants that enter a value, and the kind of result that they enter; sources may move."""


def test_every_constant_that_enters_a_value_changes_a_key(sources: Sources) -> None:
    texts = {file: file.read_text(encoding="utf-8") for file in sources.package.rglob("*.py")}
    for kind, pattern in CONSTANTS:
        places = [(file, found[0]) for file, text in texts.items() if (found := re.search(pattern, text))]
        assert places, f"{pattern} is in no source"
        for file, old in places:
            found = sources.write(file, texts[file].replace(old, f"{old} * 2", 1))
            assert kind in {axes[0] for axes in found}, f"{pattern} of {file}"


def test_the_number_of_final_samples_is_in_the_key(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Measures, "final_of", lambda measures, candidates: measures.final + 1)
    assert of("run", changed(sources.before, sources.keys())) == ALL


def test_a_source_changes_the_keys_of_what_uses_it_alone(sources: Sources) -> None:
    assert of("run", sources.edit("session.py")) == ALL and of("run", sources.edit("rng.py")) == ALL
    for name, task in (("digits", "digits"), ("fruits", "fruits"), ("gmm2d", "gmm2d")):
        module = key.module_of(TASKS[name])
        file = key.files_of(module)[-1].relative_to(sources.package)
        found = sources.edit(str(file))
        assert {axes[0] for axes in of("run", found)} == {task} and of("base", found) == {(task,)}
    family = sources.edit("models/families.py")
    assert {axes[0] for axes in of("run", family)} == {"fruits"} and of("base", family) == {("fruits",)}
    file = key.files_of(key.module_of(METHODS["fkc"]))[-1].relative_to(sources.package)
    assert of("run", sources.edit(str(file))) == {("digits", "fkc"), ("gmm2d", "fkc")}
    metric = sources.edit("benchmark/metrics/diversity.py")
    assert not of("run", metric) and of("score", metric) == ALL
    for books in ("benchmark/runs/record.py", "benchmark/grid.py", "errors.py", "paper/select.py", "cli.py"):
        assert not sources.edit(books)


def test_a_new_method_task_or_user_changes_no_other_key(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is one file and one line of a registry."""
    for registry, old, name in (("methods", METHODS, "rwr"), ("benchmark/tasks", TASKS, "gmm2d")):
        init = sources.package / registry / "__init__.py"
        assert not sources.write(init, init.read_text(encoding="utf-8") + "\nMORE = 1\n")
        monkeypatch.setitem(old, "another", old[name])
        assert not changed(sources.before, sources.keys())


def test_words_change_no_key(sources: Sources) -> None:
    file = sources.package / "session.py"
    text = file.read_text(encoding="utf-8")
    assert not sources.write(
        file, "# A comment.\n" + text.replace('"""', '"""Reworded. ', 1).replace("\n\n\n", "\n\n\n\n")
    )


def test_settings_weights_and_users_change_the_keys_that_they_enter(sources: Sources) -> None:
    def runs(change: Callable[[dict[str, Any]], Any]) -> set[tuple[str, ...]]:
        return of("run", changed(sources.before, sources.keys(change)))

    assert runs(lambda data: data["methods"]["papa"].update(lr=0.5)) == {("digits", "papa")}
    assert runs(lambda data: data["tasks"]["digits"].update(steps=4)) == DIGITS
    best = {("digits", "best_of_n")}  # whose base samples have candidates for 8 final samples, not for 9
    assert runs(lambda data: data["measures"].update(final=9)) == ALL - best
    assert runs(lambda data: data.update(root_seed=7)) == ALL
    assert not runs(lambda data: data["measures"].update(kid_subsets=3))
    assert not runs(lambda data: data["grid"]["digits"].update(seeds=[5, 0]))
    card = sources.package / "data" / "digits" / "card.json"
    digest = key.artefact_hashes("digits")["gold.safetensors"]
    found = sources.write(card, card.read_text(encoding="utf-8").replace(digest, "0" * 64))
    assert of("run", found) == DIGITS
