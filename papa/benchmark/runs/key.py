"""What a result depends on: the code that makes it, the weights, and the completion key made of them and the settings.

The completion key of a run is a hash of the settings that it uses, of the code in the transitive import closure of
its method, task, user and session (shared kernels and the behaviour of settings classes included), and of the task's
weights. A run with the same key is skipped, any other is made again.

What counts of a source file is what it does: comments, docstrings, layout and line ends do not, nor does the text of
an error or of a log line, where it stands in the `raise` or in the call. Modules that keep books (records, machine
facts, the grid, registries) are in no closure: what they say reaches a run through its settings.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from papa.errors import ArtefactError
from papa.files import sha256

PACKAGE = Path(__file__).parents[2]

BOOKKEEPING = {
    "papa",
    "papa.errors",
    "papa.files",
    "papa.images",
    "papa.labels",
    "papa.log",
    "papa.methods",
    "papa.registry",
    "papa.settings",
    "papa.benchmark",
    "papa.benchmark.config",
    "papa.benchmark.grid",
    "papa.benchmark.machine",
    "papa.benchmark.metrics",
    "papa.benchmark.specs",
    "papa.benchmark.tasks",
    "papa.benchmark.tasks.artefacts",
    "papa.benchmark.tasks.declaration",
    "papa.benchmark.users",
    "papa.benchmark.runs.key",
    "papa.benchmark.runs.record",
    "papa.benchmark.runs.scores",
}
"""Modules that only name what exists or write down what happened, and the labels that a run never begins with."""

DATA = (".yaml", ".html")
"""Suffixes of the data that go by a module's name: claims.py reads claims.yaml, page.py fills page.html."""

LOGGING = {"log", "print", "say"}
"""Functions whose argument is a message."""

END = ")"
"""Marks the end of a node in the text that `_said` makes."""


def module_file(module: str) -> Path | None:
    """The source file of a module, or None for a name inside a module.

    A method may live outside this package; its imports from this package and from its own are followed.
    """
    if module.split(".")[0] != "papa":
        try:
            spec = find_spec(module)
        except ModuleNotFoundError:
            return None
        return Path(spec.origin) if spec is not None and spec.origin else None
    path = PACKAGE.joinpath(*module.split(".")[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _imports(module: str, file: Path) -> frozenset[str]:
    """Modules that `file` imports anywhere in its text: those of this package, and of the module's own package."""
    roots = {"papa", module.split(".")[0]}
    found: set[str] = set()
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found.update(name for name in names if name.split(".")[0] in roots and module_file(name))
    return frozenset(found - BOOKKEEPING)


@cache
def import_closure(*modules: str) -> tuple[str, ...]:
    """The modules that `modules` need, themselves included, sorted; other packages' are left out."""
    seen: set[str] = set()
    queue = list(modules)
    while queue:
        module = queue.pop()
        file = module_file(module)
        if module in seen or file is None:
            continue
        seen.add(module)
        queue.extend(_imports(module, file))
    return tuple(sorted(seen))


# ---------------------------------------------------------------- what a source file does


def _is_text(node: ast.AST) -> bool:
    """An expression that is nothing but a string: a docstring, wherever it stands."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_logging(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return False
    function = node.value.func
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    return name in LOGGING


def _said(node: ast.AST) -> Iterator[str]:
    """What a syntax tree does, as text that is the same for every Python version: fields that are empty are left out.

    Every node ends with a mark: without one, a statement inside a block and the same one behind it would read alike.
    """
    if isinstance(node, ast.Raise):  # which error is raised counts, what it says does not
        error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        yield "raise"
        if error is not None:
            yield from _said(error)
        yield END
        return
    yield type(node).__name__
    for name, value in ast.iter_fields(node):
        for item in value if isinstance(value, list) else [] if value is None else [value]:
            if isinstance(item, ast.AST):
                if not (_is_text(item) or _is_logging(item)):
                    yield name
                    yield from _said(item)
            else:  # in a list, None is a place that is left free: the key of `**more`, an argument without a default
                yield f"{name}={item!r}"
    yield END


@cache
def _behaviour(file: Path) -> str:
    return hashlib.sha256("\0".join(_said(_tree(file))).encode()).hexdigest()


@cache
def source_hash(*modules: str) -> str:
    """Hash of what the modules in the import closure of `modules` do, and of the data that goes by a module's name."""
    digest = hashlib.sha256()
    for module in import_closure(*modules):
        file = module_file(module)
        assert file is not None
        digest.update(f"{module}\0{_behaviour(file)}\0".encode())
        for data in map(file.with_suffix, DATA):
            if data.is_file():
                digest.update(sha256(data).encode())
    return digest.hexdigest()


# ---------------------------------------------------------------- weights, and the key


@cache
def artefact_hashes(artefacts: str | None) -> dict[str, str]:
    """The sha256 of every shipped artefact of a folder of `papa/data`, as its model card states them.

    Raises:  ArtefactError for a card that cannot be read.
    """
    if artefacts is None:
        return {}
    card = PACKAGE / "data" / artefacts / "card.json"
    return read_card(card, artefacts)["sha256"] if card.is_file() else {}


def read_card(card: Path, task: str) -> dict[str, Any]:
    """A model card.

    Raises:  ArtefactError if it cannot be read.
    """
    try:
        found = json.loads(card.read_text(encoding="utf-8"))
        if not isinstance(found, dict) or not isinstance(found.get("sha256"), dict):
            raise ValueError("it names no files")
    except (OSError, ValueError) as error:
        raise ArtefactError(
            f"the model card {card} cannot be read ({error}); reinstall papa, or make the artefacts again with "
            f"`papa prepare --task {task} --retrain`."
        ) from None
    return found


def completion_key(settings: Any, modules: tuple[str, ...], weights: dict[str, str]) -> str:
    """The key of a result.

    Args:    settings: everything that the result was asked for, JSON-serializable, defaults resolved.
             modules: those whose import closure makes it. weights: sha256 of each weight file.
    Returns: 16 hex digits.
    """
    text = json.dumps([settings, source_hash(*modules), weights], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
