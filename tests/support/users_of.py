"""Users of the tasks, by their labels."""

from __future__ import annotations

from typing import Any

from papa.benchmark import tasks, users
from papa.benchmark.users.interface import AnyUser, NoisyUser


def user_of(task: str, label: str, **configured: dict[str, Any]) -> AnyUser:
    """A user of a registered task, or one of `configured`; it has met nobody yet."""
    spec = users.user_spec(label, tasks.declaration(task).users, configured, f"users.{label}")
    user: AnyUser = users.kind(spec.kind).load()(spec.taste)
    return NoisyUser(user, spec.noise.flip, spec.noise.missing) if spec.noisy else user
