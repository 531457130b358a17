"""Processes share the GPUs of one machine; here GPUs are names, so that none is needed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yte

from papa.benchmark import gpus
from papa.commands.common import open_task

HOLDER = """
import sys, time
from pathlib import Path
from papa.benchmark.gpus import take_one_of
say = lambda message: print(message, flush=True)
say(take_one_of(sys.argv[2:], say, Path(sys.argv[1])))
time.sleep(600)
"""
PROFILE = Path(__file__).parents[2] / "profiles/default/config.yaml"
Holder = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    """Start a process that takes one of some GPUs, says which, and stays."""
    started: list[subprocess.Popen[str]] = []

    def start(*names: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, str(tmp_path), *names]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8"))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture(autouse=True)
def nothing_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_taken", None)


def test_two_processes_take_different_gpus(holder: Holder) -> None:
    assert [said(holder("a", "b")), said(holder("a", "b"))] == ["0", "1"]


def test_a_gpu_is_known_by_its_name_and_not_by_its_position(holder: Holder) -> None:
    """Each process may see others, in another order."""
    assert [said(holder("a", "b")), said(holder("b", "a")), said(holder("a", "b", "c"))] == ["0", "0", "2"]


def test_who_finds_all_taken_waits_for_one_whose_process_is_killed(holder: Holder) -> None:
    first, second = holder("a", "b"), holder("a", "b")
    index = {process: said(process) for process in (first, second)}
    third = holder("a", "b")
    assert said(third) == "all 2 GPUs are taken by other processes of papa; waiting for one"
    second.send_signal(signal.SIGKILL)
    second.wait()
    assert said(third) == index[second] and first.poll() is None


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[int]]:
    """A machine with these GPUs. Returns: the indices that are made the current device, as they come."""

    def build(*names: str) -> list[int]:
        chosen: list[int] = []
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=names[index]))
        monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
        monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
        return chosen

    return build


def test_one_gpu_or_none_needs_no_lock(machine: Callable[..., list[int]], tmp_path: Path) -> None:
    for names in ((), ("a",)):
        chosen = machine(*names)
        gpus.take_gpu(lambda message: pytest.fail(message))
        assert chosen == [] and list(tmp_path.iterdir()) == []


def test_a_process_takes_a_free_gpu_once(machine: Callable[..., list[int]], holder: Holder) -> None:
    assert said(holder("a", "b")) == "0"
    chosen, messages = machine("a", "b"), []
    gpus.take_gpu(messages.append)
    gpus.take_gpu(messages.append)  # a process that opens a second task keeps its GPU
    assert chosen == [1] and len(messages) == 1 and "cuda:1" in messages[0]
    assert said(holder("a", "b")).startswith("all 2 GPUs are taken")


@pytest.mark.parametrize(("device", "takes"), [("cpu", 0), ("cuda", 1), ("auto", 1), ("cuda:1", 0)])
def test_a_task_takes_a_gpu_where_no_certain_one_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, device: str, takes: int
) -> None:
    taken = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(gpus, "take_gpu", taken.append)
    loaded = SimpleNamespace(
        declaration=SimpleNamespace(prompted=False, load=lambda: lambda settings, device, store: device),
        settings=None,
        label="t",
    )
    assert open_task(loaded, SimpleNamespace(device=device, results="r"), threads=1) == device.replace("auto", "cuda")
    assert len(taken) == takes


@pytest.mark.parametrize(
    ("files", "visible", "count"),
    [(0, None, 0), (1, None, 1), (4, None, 4), (4, "2", 1), (4, "0,3", 2), (4, "", 0), (4, "-1", 0), (0, "0", 0)],
)
def test_the_profile_counts_the_gpus_that_can_be_used(
    monkeypatch: pytest.MonkeyPatch, files: int, visible: str | None, count: int
) -> None:
    import glob

    monkeypatch.setattr(glob, "glob", lambda pattern: [f"/dev/nvidia{index}" for index in range(files)])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    profile = yte.process_yaml(PROFILE.read_text(encoding="ascii"), require_use_yte=True)
    assert profile["resources"]["gpu"] == count
