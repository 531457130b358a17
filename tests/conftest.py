"""What the tests share: one thread, reproducible examples, tasks that are loaded once, and the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from support import tiny
from support.command_line import Papa
from support.tiny import assert_paragraph

from papa import cli
from papa.benchmark.tasks.digits import DigitsSettings
from papa.benchmark.tasks.digits.task import Digits
from papa.benchmark.tasks.fruits import FruitsSettings
from papa.benchmark.tasks.fruits.task import Fruits
from papa.benchmark.tasks.gmm2d import Gmm2dSettings
from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.models import base_samples

torch.set_num_threads(1)
settings.register_profile("papa", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("papa")


@pytest.fixture(scope="session")
def digits() -> Digits:
    """The digits task with 3 sampling steps. Tests change nothing in it."""
    return Digits(DigitsSettings(steps=3))


@pytest.fixture(scope="session")
def fruits() -> Fruits:
    """The fruits task with 3 sampling steps. Tests change nothing in it."""
    return Fruits(FruitsSettings(steps=3))


@pytest.fixture(scope="session")
def plane() -> Gmm2d:
    """The mixture task with 5 sampling steps. Tests change nothing in it."""
    return Gmm2d(Gmm2dSettings(steps=5))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Base samples are drawn 16 at a time, not 1024."""
    monkeypatch.setattr(base_samples, "BLOCK", 16)


@pytest.fixture
def papa(capsys: pytest.CaptureFixture[str]) -> Papa:
    """Run the command line: (exit code, what it said on standard error)."""

    def run(*argv: str) -> tuple[int, str]:
        capsys.readouterr()
        try:
            code = cli.main([str(part) for part in argv])
        except SystemExit as stopped:  # argparse
            code = int(stopped.code or 0)
        return code, capsys.readouterr().err

    return run


@pytest.fixture
def refused(papa: Papa) -> Callable[..., str]:
    """Run a command that must fail; returns the message, which is one paragraph."""

    def run(*argv: str, words: tuple[str, ...] = ()) -> str:
        code, said = papa(*argv)
        assert code != 0
        message = said.strip().splitlines()[-1] if said.startswith("device:") else said
        assert_paragraph(message, *words)
        return message

    return run


@pytest.fixture
def finished(tmp_path: Path, papa: Papa, small_blocks: None) -> tuple[Path, Path]:
    """A configuration whose runs are done, scored and collected: (configuration, results)."""
    path = tiny.write(tmp_path, tiny.config(tmp_path))
    assert papa("base", "--config", path, "--task", "gmm2d", "--seeds", "0", "1")[0] == 0
    for method in tiny.PLANE["methods"]:
        assert papa("align", "--config", path, "--task", "gmm2d", "--method", method, "--user", "linear")[0] == 0
    assert papa("collect", "--config", path)[0] == 0
    return path, tmp_path / "results"
