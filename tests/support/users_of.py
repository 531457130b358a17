"""Users of the tasks, by their labels."""

from __future__ import annotations

from typing import Any

from papa.benchmark import tasks, users
from papa.benchmark.users.interface import User


def user_of(task: str, label: str, **configured: dict[str, Any]) -> User:
    """A user of a registered task, or one of `configured`; it has met nobody yet."""
    return users.user_of(users.user_spec(label, tasks.declaration(task).users, configured, f"users.{label}"))
