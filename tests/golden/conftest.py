"""The task and its users, shared by the golden tests."""

from __future__ import annotations

import pytest
import torch
from support.reference import NAMES, reward_user

from papa.benchmark.tasks.gmm2d import Gmm2dSettings
from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.benchmark.users.rewards import RewardUser

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def task() -> Gmm2d:
    return Gmm2d(Gmm2dSettings())


@pytest.fixture(params=NAMES)
def user(request: pytest.FixtureRequest, task: Gmm2d) -> RewardUser:
    """Each user of the task in turn."""
    return reward_user(request.param, task)
