"""An error that is a paragraph, and a folder to damage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from papa.errors import PapaError
from support import tiny_sd15
from support.tiny import assert_paragraph


def refused(error: type[PapaError], act: Callable[[], Any], *words: str) -> None:
    with pytest.raises(error) as raised:
        act()
    assert_paragraph(str(raised.value), *words)


def copied(tmp_path: Path, half: bool = False) -> Path:
    return Path(shutil.copytree(tiny_sd15.pipeline(half), tmp_path / "model"))
