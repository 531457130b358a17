"""One thread for everything that takes long, one job after another, and what the page is told of it meanwhile."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from papa.errors import PapaError


@dataclass
class Busy:
    """What the worker is doing, in words. done, of: how far it is, 0 of 0 where that is not known."""

    what: str
    done: int = 0
    of: int = 0


class Worker:
    """The thread, and the lock that whoever reads or changes what its jobs change has to hold.

    tick: grows with every change. busy: what is done now. error: what the last job failed by, as a sentence.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.tick = 0
        self.busy: Busy | None = None
        self.error: str | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="papa-session")

    def changed(self) -> None:
        """Something is to be seen that was not there before."""
        with self.lock:
            self.tick += 1

    def later(self, job: Callable[[], None]) -> None:
        """Run a job after those that wait already. An error of it becomes `error`."""

        def run() -> None:
            try:
                job()
            except PapaError as error:
                self._failed(str(error))
            except Exception as error:  # the page must say it, and the terminal where
                traceback.print_exc()
                self._failed(f"{type(error).__name__}: {error}. The answers are kept; the terminal shows where it was.")

        self._thread.submit(run)

    def wait_for(self, job: Callable[[], None]) -> None:
        """Run a job after those that wait already, and raise what it raises."""
        self._thread.submit(job).result()

    def _failed(self, message: str) -> None:
        with self.lock:
            self.error = f"{message} Then choose “Try again” on this page."
            self.busy = None
            self.tick += 1

    @contextmanager
    def doing(self, what: str, done: int = 0, of: int = 0) -> Iterator[None]:
        """Say what is done within this block."""
        with self.lock:
            self.busy, self.tick = Busy(what, done, of), self.tick + 1
        try:
            yield
        finally:
            with self.lock:
                self.busy, self.tick = None, self.tick + 1

    def close(self) -> None:
        """Wait for the job that runs; those that wait are not begun."""
        self._thread.shutdown(wait=True, cancel_futures=True)
