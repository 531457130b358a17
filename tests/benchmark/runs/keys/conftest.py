"""A copy of the package."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.keys import forget

from papa.benchmark.runs import key as provenance


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package's sources that keys are made from, and that a test may edit."""
    package = tmp_path / "copy" / "papa"
    shutil.copytree(
        provenance.PACKAGE, package, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__", "README.md")
    )
    monkeypatch.setattr(provenance, "PACKAGE", package)
    forget()
    yield package
    forget()
