"""What a result depends on: source closures, weights, and the completion key made of them.

The completion key of a run is a hash of the settings that it uses, of the sources in the transitive
import closure of its method and task (shared kernels included), and of the task's weights. A run
with the same key is skipped, any other is made again.
"""

from __future__ import annotations

import ast
import hashlib
import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from papa.errors import ArtefactError

PACKAGE = Path(__file__).parents[2]

# Not part of any closure: what these files say reaches a run through its resolved settings, which the
# key holds already, or only names what exists.
DECLARATIONS = {"papa.benchmark.config", "papa.benchmark.registry", "papa.errors", "papa"}


def module_file(module: str) -> Path | None:
    """The source file of a module, or None for a name inside a module.

    A method may live outside this package; of its imports, those from this package are followed.
    """
    if module.split(".")[0] != "papa":
        spec = find_spec(module)
        return Path(spec.origin) if spec is not None and spec.origin else None
    path = PACKAGE.joinpath(*module.split(".")[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def _imports(file: Path) -> frozenset[str]:
    """Modules of this package that `file` imports anywhere in its text."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found.update(name for name in names if name.split(".")[0] == "papa" and module_file(name))
    return frozenset(found - DECLARATIONS)


def import_closure(*modules: str) -> list[str]:
    """The modules of this package that `modules` need, themselves included, sorted."""
    seen: set[str] = set()
    queue = list(modules)
    while queue:
        module = queue.pop()
        file = module_file(module)
        if module in seen or file is None:
            continue
        seen.add(module)
        queue.extend(_imports(file))
    return sorted(seen)


@cache
def source_hash(*modules: str) -> str:
    """Hash of the sources in the import closure of `modules`, and of the data that goes by a module's name."""
    digest = hashlib.sha256()
    for module in import_closure(*modules):
        file = module_file(module)
        assert file is not None
        digest.update(module.encode() + b"\0" + file.read_bytes() + b"\0")
        if (data := file.with_suffix(".yaml")).is_file():  # claims.py reads claims.yaml
            digest.update(data.read_bytes() + b"\0")
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def artefact_hashes(task: str) -> dict[str, str]:
    """The sha256 of every shipped artefact of a task, as its model card states them (empty without one).

    Raises:  ArtefactError for a card that cannot be read.
    """
    card = PACKAGE / "data" / task / "card.json"
    return read_card(card, task)["sha256"] if card.is_file() else {}


def read_card(card: Path, task: str) -> dict[str, Any]:
    """A model card.

    Raises:  ArtefactError if it cannot be read.
    """
    try:
        return json.loads(card.read_text())
    except ValueError as error:
        raise ArtefactError(
            f"the model card {card} cannot be read ({error}); reinstall papa, or make the artefacts again with "
            f"`papa prepare --task {task} --retrain`."
        ) from None


def completion_key(settings: dict[str, Any], modules: tuple[str, ...], weights: dict[str, str]) -> str:
    """The key of a result.

    Args:    settings: everything that the result was asked for, JSON-serializable, defaults resolved.
             modules: where its code starts. weights: sha256 of each weight file.
    Returns: 16 hex digits.
    """
    text = json.dumps([settings, source_hash(*modules), weights], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
