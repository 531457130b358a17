"""The key of a result: a hash of its settings, its weights and the declared sources that compute it.

A run is computed by the core, its task, its method and its users. A registered task, method or kind of user owns the
file (or folder) that its registry names, and the modules that its declaration lists in `uses`. Other sources in
`papa/methods`, `papa/models`, `papa/benchmark/tasks` and `papa/benchmark/users` are shared by all. So a new method,
task or pipeline family changes no other key. Comments, docstrings and layout of a source do not count.

`tests/benchmark/runs/test_sources.py` compares the modules that runs load with these declarations.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from papa.benchmark import tasks, users
from papa.errors import ArtefactError
from papa.files import sha256
from papa.methods import METHODS
from papa.registry import find, module_of

PACKAGE = Path(__file__).parents[2]

REGISTRIES: dict[str, Mapping[str, str]] = {
    "papa.methods": METHODS,
    "papa.benchmark.tasks": tasks.TASKS,
    "papa.benchmark.users": users.KINDS,
}
SAMPLING = ("papa.rng", "papa.diffusion", "papa.models", "papa.benchmark.tasks", "papa.benchmark.runs.base_samples")
"""Sources of base samples."""
LEARNING = (
    *("papa.session", "papa.feedback", "papa.log", "papa.smc", "papa.methods", "papa.benchmark.users"),
    *("papa.benchmark.runs.align",),
)
"""Further sources of a run."""
MEASURING = ("papa.benchmark.metrics", "papa.benchmark.runs.score")
STUDYING = ("papa.benchmark.personal", "papa.methods.ppd_training")
"""Further sources of the study of personal models."""


def files_of(module: str) -> tuple[Path, ...]:
    """The sources of a module; of a package, all sources and data files below it."""
    if module.split(".")[0] == "papa":
        place = PACKAGE.joinpath(*module.split(".")[1:])
        if not place.is_dir():
            if not (file := place.with_suffix(".py")).is_file():
                raise ModuleNotFoundError(f"there is no module {module}, which a declaration lists in `uses`")
            return (file,)
    else:
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"there is no module {module}")
        place = Path(spec.origin)
        if spec.submodule_search_locations is None:
            return (place,)
        place = place.parent
    return tuple(sorted(file for file in place.rglob("*") if file.suffix in {".py", ".yaml", ".html"}))


@cache
def owned(registry: str, name: str) -> frozenset[Path]:
    """The sources that a registered name owns."""
    entries = REGISTRIES[registry]
    return frozenset(
        file for module in (module_of(entries[name]), *find(registry, entries, name).uses) for file in files_of(module)
    )


@cache
def shared() -> frozenset[Path]:
    """The sources of SAMPLING and LEARNING that no registered name owns; registries themselves only name others."""
    every = {file for module in (*SAMPLING, *LEARNING) for file in files_of(module)}
    for registry, entries in REGISTRIES.items():
        every -= {files_of(registry)[0].parent / "__init__.py"}.union(*(owned(registry, name) for name in entries))
    return frozenset(every)


def sources_of(task: str, method: str | None = None, kinds: Iterable[str] = ()) -> frozenset[Path]:
    """The sources of a run, or, without a method, of base samples."""
    modules = SAMPLING if method is None else (*SAMPLING, *LEARNING)
    found = shared() & {file for module in modules for file in files_of(module)} | owned("papa.benchmark.tasks", task)
    for kind in kinds:
        found |= owned("papa.benchmark.users", kind)
    return found if method is None else found | owned("papa.methods", method)


@cache
def behaviour(file: Path) -> str:
    """A hash of a source without its comments, docstrings and layout; of a data file, the hash of its content."""
    if file.suffix != ".py":
        return sha256(file)
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_docstring(part)] or [ast.Pass()]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@cache
def source_hash(files: frozenset[Path]) -> str:
    """A hash of sources and of their names."""
    names = {file: file.relative_to(PACKAGE).as_posix() if PACKAGE in file.parents else file.name for file in files}
    found = sorted([name, behaviour(file)] for file, name in names.items())
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def module_hash(*modules: str) -> str:
    """The source hash of some modules."""
    return source_hash(frozenset(file for module in modules for file in files_of(module)))


def completion_key(asked: Any, sources: frozenset[Path], weights: Mapping[str, str]) -> str:
    """The key of a result: 16 hex digits.

    Args:
        asked: all settings of the result, JSON-serializable, defaults resolved.
        sources: the files that compute it.
        weights: sha256 of each weight file.
    """
    text = json.dumps([asked, source_hash(sources), dict(weights)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def artefact_hashes(artefacts: str | None) -> dict[str, str]:
    """The sha256 of every shipped artefact of a folder of `papa/data`, as its model card states them."""
    if artefacts is None:
        return {}
    card = PACKAGE / "data" / artefacts / "card.json"
    return read_card(card, artefacts)["sha256"] if card.is_file() else {}


def read_card(card: Path, task: str) -> dict[str, Any]:
    """A model card."""
    try:
        found = json.loads(card.read_text(encoding="utf-8"))
        if not isinstance(found, dict) or not isinstance(found.get("sha256"), dict):
            raise ValueError("it names no files")
    except (OSError, ValueError) as error:
        raise ArtefactError(
            f"the model card {card} of {task} cannot be read ({error}); reinstall papa, or restore the file with git."
        ) from None
    return found
