"""One tiny run is made for all tests (`finished`); a test that changes something works in a copy of it (`again`)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from support.workplace import NEEDED, REPOSITORY, Work


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """The working tree as a clone holds it. Tests change nothing in it."""
    root = tmp_path_factory.mktemp("clean") / "papa"
    root.mkdir()
    for name in NEEDED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy2(source, root)
    return Work(root)


@pytest.fixture(scope="session")
def finished(clean: Work, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """The tiny experiment, run to its end. Tests change nothing in it."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return run_to_the_end(clean, tmp_path_factory.mktemp("finished") / "papa")
    from filelock import FileLock  # which torch needs

    # One run for all worker processes of `pytest -n`; the first one makes it.
    root = tmp_path_factory.getbasetemp().parent / "finished"
    with FileLock(f"{root}.lock"):
        return Work(root) if root.exists() else run_to_the_end(clean, root)


def run_to_the_end(clean: Work, root: Path) -> Work:
    work = clean.copy_to(root)
    work.configure()
    work.made()
    return work


@pytest.fixture
def again(finished: Work, tmp_path: Path) -> Work:
    """A copy of the finished experiment, to change."""
    return finished.copy_to(tmp_path / "papa")
