"""The face of the library: the names that `import papa` offers, and the lines that its documentation promises."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import papa
from papa import session

ROOT = Path(__file__).parents[1]


def test_every_public_name_is_there_and_listed() -> None:
    assert sorted(papa.__all__) == papa.__all__
    for name in papa.__all__:
        assert getattr(papa, name).__name__ == name and name in dir(papa)
    assert papa.Session is session.Session


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "papa" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert sorted(alias.name for node in imports for alias in node.names) == papa.__all__
    for node in imports:
        assert all(getattr(papa, alias.name).__module__ == node.module for alias in node.names)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sesion'"):
        _ = papa.Sesion  # type: ignore[attr-defined]
    assert not hasattr(papa, "Query")


def test_a_name_is_imported_when_it_is_first_used() -> None:
    code = "import sys, papa; a = 'torch' in sys.modules; papa.MixtureModel; print(a, 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "True"]


def test_the_lines_in_the_documentation_of_sessions_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are printed, with another model, fewer labels and answers in the place of the three dots."""
    lines = re.findall(r"^    (.*)$", (session.__doc__ or "").split("Every answered round")[0], re.MULTILINE)
    code = "\n".join(lines).replace("labels=80", "labels=5, settings={'per_round': 2, 'updates': 1, 'items': 2}")
    assert "[...]" in code and "session.save" in code
    code = code.replace("[...]", "[True] * len(question)")
    monkeypatch.chdir(tmp_path)
    from papa.benchmark.tasks.digits import DigitsSettings
    from papa.benchmark.tasks.digits.task import Digits

    names = {"Session": papa.Session, "model": Digits(DigitsSettings(steps=2)).model}
    exec(code, names)
    assert (tmp_path / "aligned" / "model_index.json").exists()
    assert len((tmp_path / "me.jsonl").read_text(encoding="utf-8").splitlines()) == 4
