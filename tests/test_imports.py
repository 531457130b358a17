"""Imports point down, and what should be quick or apart loads nothing that is heavy or foreign."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from papa.methods import METHODS

ROOT = Path(__file__).parents[1]
FACE = ""
"""`papa/__init__.py`: its names are loaded when they are first used, so it may name any of the library."""
LEVELS = (
    {"errors", "settings", "rng", "files", "registry", "images", FACE},
    {"feedback"},
    {"log"},
    {"diffusion", "smc"},
    {"models"},
    {"methods"},
    {"labels"},
    {"session"},
    {"benchmark"},
    {"paper", "serve"},
    {"commands"},
    {"cli", "__main__"},
)
"""From the bottom up: packages and loose modules of `papa`."""
LEVEL = {unit: index for index, units in enumerate(LEVELS) for unit in units}

Graph = dict[str, set[str]]
"""Module -> the modules that it imports."""


def module_of(file: Path, package: Path) -> str:
    parts = (package.name, *file.relative_to(package).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(module: str, is_package: bool, tree: ast.AST) -> Iterator[str]:
    """The dotted names that a module imports anywhere, inside functions and for type checkers as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            here = module.split(".")[: None if is_package else -1]
            above = here[: len(here) - node.level + 1] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)  # perhaps a module, perhaps a name in one


def named(tree: ast.AST) -> Iterator[str]:
    """Modules that are named in text, to be loaded later: "papa.methods.fkc:Fkc"; not the file "papa.json"."""
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    yield from (found[1] for text in texts if (found := re.fullmatch(r"(papa(?!\.json)(?:\.\w+)+)(?::\w+)?", text)))


def graph_of(package: Path, texts: bool = False) -> Graph:
    """Every module of a package and what it imports of it; with `texts`, what it names in text too."""
    files = {module_of(file, package): file for file in sorted(package.rglob("*.py"))}
    graph: Graph = {}
    for module, file in files.items():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = [*imported(module, file.name == "__init__.py", tree), *(named(tree) if texts else ())]
        graph[module] = {known for name in names if (known := longest(name, files))} - {module}
    return graph


def longest(name: str, modules: Iterable[str]) -> str | None:
    """The module that a dotted name is, or lies in."""
    parts = name.split(".")
    starts = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((start for start in starts if start in modules), None)


def unit(module: str) -> str:
    """The package or loose module of `papa` that a module belongs to."""
    return [*module.split("."), FACE][1]


def complaints(package: Path) -> list[str]:
    """Arrows that point up, units that no level has, and cycles among the units of one level."""
    graph, found, beside = graph_of(package), [], defaultdict[str, set[str]](set)
    found += [f"{module} is on no level" for module in graph if unit(module) not in LEVEL]
    for module, targets in graph.items():
        for target in sorted(targets):
            here, there = unit(module), unit(target)
            if not {here, there} <= LEVEL.keys() or here in (FACE, there):
                continue
            if LEVEL[there] > LEVEL[here]:
                found.append(f"{module} imports {target}, which is above it")
            elif LEVEL[there] == LEVEL[here]:
                beside[here].add(there)
    return found + [f"{a} and {b} import each other" for a, b in cycles(beside)]


def cycles(arrows: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Pairs that reach each other."""
    reached = {start: reach(start, arrows) for start in arrows}
    return [(a, b) for a in reached for b in reached if a < b and b in reached[a] and a in reached[b]]


def reach(start: str, arrows: dict[str, set[str]]) -> set[str]:
    """What can be come to from a start, over any number of arrows."""
    found, left = set[str](), [start]
    while left:
        for target in arrows.get(left.pop(), set()) - found:
            found.add(target)
            left.append(target)
    return found


def test_no_import_points_up() -> None:
    assert complaints(ROOT / "papa") == []


ARROWS = {
    "at the top": (
        "smc/weights.py",
        "from papa.models.interface import Model\n",
        "papa.smc.weights imports papa.models",
    ),
    "inside a function": (
        "methods/fkc.py",
        "def peek():\n    from papa.benchmark.users.interface import User\n    return User\n",
        "papa.methods.fkc imports papa.benchmark",
    ),
    "for type checkers": (
        "session.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from papa.paper import stats\n",
        "papa.session imports papa.paper.stats",
    ),
    "relative": ("models/lora.py", "from ..session import Session\n", "papa.models.lora imports papa.session"),
    "between files of one level": ("errors.py", "from papa import files\n", "errors and files import each other"),
    "a loose module": ("leftover.py", "", "papa.leftover is on no level"),
}


@pytest.mark.parametrize(("file", "line", "complaint"), ARROWS.values(), ids=ARROWS.keys())
def test_an_arrow_that_is_added_is_reported(tmp_path: Path, file: str, line: str, complaint: str) -> None:
    copy = tmp_path / "papa"
    shutil.copytree(
        ROOT / "papa", copy, ignore=lambda folder, names: [n for n in names if n in ("data", "__pycache__")]
    )
    before = complaints(copy)
    with open(copy / file, "a", encoding="utf-8") as handle:
        handle.write(line)
    added = [said for said in complaints(copy) if said not in before]
    assert len(added) == 1 and added[0].startswith(complaint)


@pytest.mark.parametrize("name", METHODS)
def test_no_method_reaches_a_judge_a_user_or_a_record(name: str) -> None:
    """Not over any chain of imports either, nor by a module that is named in text and loaded later."""
    graph = graph_of(ROOT / "papa", texts=True)
    start = METHODS[name].split(":")[0]
    found = reach(start, graph) | {start}
    assert {unit(module) for module in found} <= set().union(*LEVELS[: LEVEL["methods"] + 1])


def test_a_method_that_reaches_a_user_is_reported(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "papa", tmp_path / "papa", ignore=lambda _, names: [n for n in names if n == "data"])
    with open(tmp_path / "papa/models/lora.py", "a", encoding="utf-8") as handle:
        handle.write('LATER = "papa.benchmark.users.classes:Classes"\n')
    graph = graph_of(tmp_path / "papa", texts=True)
    assert "papa.benchmark.users.classes" in reach("papa.methods.papa", graph)


def loaded(code: str) -> set[str]:
    """The modules of a fresh process after some code."""
    end = "\nimport sys; print('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code + end], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return set(done.stderr.split())


HEAVY = {"torch", "diffusers", "transformers", "open_clip", "sklearn", "torchmetrics", "peft", "starlette", "uvicorn"}

READ_ALL_SETTINGS = """
from papa.methods import METHODS, declaration
for name in METHODS:
    declaration(name).settings()
from papa.benchmark import tasks, users
for name in tasks.TASKS:
    tasks.declaration(name).settings()
    for label in tasks.declaration(name).users:
        users.user_spec(label, tasks.declaration(name).users, {}, label)
from papa.models import settings
import papa.benchmark.config
"""
HELP = """
from papa.cli import main
try:
    main(["--help"])
except SystemExit as stopped:
    assert stopped.code == 0
"""
LIGHT = {
    "import papa": "import papa; dir(papa)",
    "papa --help": HELP,
    "labels": "from papa import Labels, load_labels, save_images",
    "reading all settings": READ_ALL_SETTINGS,
    "loading a larger grid": 'from papa.benchmark.grid import load; assert load("config/every.yaml").methods',
}


@pytest.mark.parametrize("code", LIGHT.values(), ids=LIGHT.keys())
def test_what_should_be_quick_loads_nothing_heavy(code: str) -> None:
    modules = loaded(code)
    assert "papa" in modules and not modules & HEAVY


def test_smc_loads_without_diffusers_and_no_model() -> None:
    modules = loaded("import papa.smc.fkc, papa.smc.resampling, papa.smc.weights")
    assert "torch" in modules
    assert not modules & (HEAVY - {"torch"})
    assert not {name for name in modules if name.startswith(("papa.models", "papa.methods"))}


def test_loading_every_method_loads_no_benchmark() -> None:
    code = "from papa.methods import METHODS, load_method\nfor name in METHODS: load_method(name)"
    modules = loaded(code)
    assert "papa.methods.papa" in modules and "papa.methods.fkc" in modules
    assert not {name for name in modules if name.startswith(("papa.benchmark", "papa.paper", "papa.session"))}


def test_the_names_of_the_face_are_there() -> None:
    names = "Labels, Session, Tie, Model, PipelineModel, UNetModel, MixtureModel, load_labels, load_method, save_images"
    assert "papa.session" in loaded(f"from papa import {names}")
