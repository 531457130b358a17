"""The command line in one process: its arguments, and what lies in a folder before and after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Papa = Callable[..., tuple[int, str]]


def align(path: Path, **axes: str) -> list[str]:
    found = {"task": "gmm2d", "method": "base", "user": "linear"} | axes
    return ["align", "--config", str(path), *(part for name, value in found.items() for part in (f"--{name}", value))]


def state_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder, with its content and the time of its last change."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
