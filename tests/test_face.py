"""The public names of `import papa`, and the example in the documentation of sessions."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import papa
from papa import session


def test_every_public_name_can_be_imported() -> None:
    assert all(getattr(papa, name).__name__ == name for name in papa.__all__)
    assert papa.Session is session.Session and not hasattr(papa, "Sesion")


def test_import_papa_does_not_import_torch() -> None:
    code = "import sys, papa; a = 'torch' in sys.modules; papa.MixtureModel; print(a, 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "True"]


def test_the_example_of_sessions_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another model, fewer labels, and answers instead of the three dots."""
    lines = re.findall(r"^    (.*)$", (session.__doc__ or "").split("Every answered round")[0], re.MULTILINE)
    code = "\n".join(lines).replace("labels=80", "labels=5, settings={'per_round': 2, 'updates': 1, 'items': 2}")
    assert "[...]" in code and "session.save" in code
    monkeypatch.chdir(tmp_path)
    from papa.benchmark.tasks.digits import DigitsSettings
    from papa.benchmark.tasks.digits.task import Digits

    names = {"Session": papa.Session, "model": Digits(DigitsSettings(steps=2)).model}
    exec(code.replace("[...]", "[True] * len(question)"), names)
    assert (tmp_path / "aligned" / "model_index.json").exists()
    assert len((tmp_path / "me.jsonl").read_text(encoding="utf-8").splitlines()) == 4
