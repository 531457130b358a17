"""Users of the tasks, by their labels."""

from __future__ import annotations

from typing import Any

from papa.benchmark import tasks, users
from papa.benchmark.users import interface
from papa.benchmark.users.interface import AnyUser


def user_of(task: str, label: str, **configured: dict[str, Any]) -> AnyUser:
    """A user of a registered task, or one of `configured`; it has met nobody yet."""
    return interface.user_of(users.user_spec(label, tasks.declaration(task).users, configured, f"users.{label}"))
