"""An error that is a paragraph, a folder to damage, and functions of the hub to replace."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from papa.benchmark.tasks.sd15 import hub
from papa.errors import PapaError
from support import tiny_sd15
from support.tiny import assert_paragraph


def refused(error: type[PapaError], act: Callable[[], Any], *words: str) -> None:
    with pytest.raises(error) as raised:
        act()
    assert_paragraph(str(raised.value), *words)


def copied(tmp_path: Path, half: bool = False) -> Path:
    return Path(shutil.copytree(tiny_sd15.pipeline(half), tmp_path / "model"))


def online(monkeypatch: pytest.MonkeyPatch, **given: Callable[..., Any]) -> None:
    """The hub may be asked; these of its functions are replaced."""
    monkeypatch.setattr(hub, "offline", lambda: False)
    for name, function in given.items():
        monkeypatch.setattr(hub.huggingface_hub, name, function)
