"""The worker thread: jobs in order, what is told of them, and their errors."""

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


def test_jobs_run_in_order_and_one_at_a_time(worker: Worker) -> None:
    done: list[int] = []
    gate = threading.Event()
    worker.later(lambda: (gate.wait(), done.append(0))[-1])
    for index in range(1, 4):
        worker.later(lambda index=index: done.append(index))
    assert not done
    gate.set()
    worker.wait_for(lambda: done.append(4))
    assert done == [0, 1, 2, 3, 4]


def test_what_is_done_is_told_while_it_lasts_and_both_are_changes(worker: Worker) -> None:
    before = worker.tick
    with worker.doing("drawing", 1, 3):
        assert worker.busy is not None and (worker.busy.what, worker.busy.done, worker.busy.of) == ("drawing", 1, 3)
        assert worker.tick == before + 1
    assert worker.busy is None and worker.tick == before + 2


def test_an_error_is_told_and_the_next_job_runs(worker: Worker, capsys: pytest.CaptureFixture) -> None:
    def fails(error: Exception) -> None:
        with worker.doing("learning"):
            raise error

    worker.later(lambda: fails(PapaError("The disk is full.")))
    worker.wait_for(lambda: None)
    assert worker.error == "The disk is full. Then choose “Try again” on this page." and worker.busy is None
    assert not capsys.readouterr().err  # what is said to the person needs no traceback
    worker.later(lambda: fails(ZeroDivisionError("by zero")))
    worker.wait_for(lambda: None)
    assert worker.error is not None and worker.error.startswith("ZeroDivisionError: by zero. The answers are kept")
    assert "in fails" in capsys.readouterr().err


def test_who_waits_for_a_job_gets_its_error(worker: Worker) -> None:
    def fails() -> None:
        raise OSError("read-only")

    with pytest.raises(OSError, match="read-only"):
        worker.wait_for(fails)
    assert worker.error is None


def test_jobs_that_wait_when_it_closes_are_not_begun() -> None:
    worker, done, gate = Worker(), [], threading.Event()
    running = threading.Event()
    worker.later(lambda: (running.set(), gate.wait(), done.append("first"))[-1])
    worker.later(lambda: done.append("second"))
    running.wait()
    closing = threading.Thread(target=worker.close)
    closing.start()
    while not worker._thread._shutdown:  # it waits for the first one now
        pass
    gate.set()
    closing.join()
    assert done == ["first"]
