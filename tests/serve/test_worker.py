"""The worker thread: order, progress, errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from papa.errors import PapaError
from papa.serve.worker import Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


def test_jobs_run_one_at_a_time_in_order(worker: Worker) -> None:
    done: list[int] = []
    gate = threading.Event()
    worker.later(lambda: (gate.wait(), done.append(0))[-1])
    worker.later(lambda: done.append(1))
    assert not done
    gate.set()
    worker.wait_for(lambda: done.append(2))
    assert done == [0, 1, 2]


def test_an_error_is_reported_and_the_next_job_runs(worker: Worker, capsys: pytest.CaptureFixture) -> None:
    def fail(error: Exception) -> None:
        with worker.doing("learning"):
            raise error

    worker.later(lambda: fail(PapaError("The disk is full.")))
    worker.wait_for(lambda: None)
    assert worker.error is not None and worker.error.startswith("The disk is full.") and worker.busy is None
    assert not capsys.readouterr().err, "an expected error has no traceback"
    worker.later(lambda: fail(ZeroDivisionError("by zero")))
    worker.wait_for(lambda: None)
    assert worker.error.startswith("ZeroDivisionError: by zero") and "in fail" in capsys.readouterr().err
    with pytest.raises(OSError):
        worker.wait_for(lambda: fail(OSError("read-only")))
