"""What the tests share: one thread, reproducible examples, and tasks that are loaded once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings

from papa import pool
from papa.config import FruitsSettings, Gmm2dSettings, TaskSettings
from papa.tasks.digits import Digits
from papa.tasks.fruits import Fruits
from papa.tasks.gmm2d import Gmm2d

torch.set_num_threads(1)
settings.register_profile("papa", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("papa")


@pytest.fixture(scope="session")
def digits() -> Digits:
    """The digits task with 3 sampling steps. Tests change nothing in it."""
    return Digits(TaskSettings(steps=3))


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
    monkeypatch.setattr(pool, "BLOCK", 16)
