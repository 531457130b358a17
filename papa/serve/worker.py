"""One thread for everything slow, one job after another, and its progress."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from papa.errors import PapaError


class Worker:
    """The thread, and the lock of everything that its jobs change.

    Attributes:
        tick: counts the changes.
        busy: what the current job does, in words; done and of: its progress, 0 of 0 if unknown.
        error: message of the last job that failed.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.tick = 0
        self.busy: dict[str, Any] | None = None
        self.error: str | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="papa-session")

    def changed(self) -> None:
        """Count a change."""
        with self.lock:
            self.tick += 1

    def later(self, job: Callable[[], None]) -> None:
        """Queue a job. An error ends up in `error`."""

        def run() -> None:
            try:
                job()
            except PapaError as error:
                self._failed(str(error))
            except Exception as error:
                traceback.print_exc()
                self._failed(f"{type(error).__name__}: {error}. The answers are kept; see the terminal for details.")

        self._thread.submit(run)

    def wait_for(self, job: Callable[[], None]) -> None:
        """Queue a job, wait for it and raise its error."""
        self._thread.submit(job).result()

    def _failed(self, message: str) -> None:
        with self.lock:
            self.error = f"{message} Then choose “Try again” on this page."
            self.busy = None
            self.tick += 1

    @contextmanager
    def doing(self, what: str, done: int = 0, of: int = 0) -> Iterator[None]:
        """Set `busy` within this block."""
        with self.lock:
            self.busy, self.tick = {"what": what, "done": done, "of": of}, self.tick + 1
        try:
            yield
        finally:
            with self.lock:
                self.busy, self.tick = None, self.tick + 1

    def close(self) -> None:
        """Wait for the running job; drop the queue."""
        self._thread.shutdown(wait=True, cancel_futures=True)
