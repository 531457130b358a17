"""Many results in one process: made unless done, each one kept whatever happens to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar


class Spec(Protocol):
    """Whatever is made into a folder."""

    @property
    def folder(self) -> object: ...


T = TypeVar("T", bound=Spec)


def unless_done(
    specs: Iterable[T], done: Callable[[T], bool], make: Callable[[T], str], log: Callable[[str], None]
) -> None:
    """Make what is not done yet.

    Args:    done: whether it is. make: makes it, and returns what to log.
    """
    for spec in specs:
        log(f"{spec.folder}: already there" if done(spec) else f"{spec.folder}: {make(spec)}")
