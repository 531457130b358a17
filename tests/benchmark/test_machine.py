"""The machine of a run: its names, the commit of the sources, memory, and one GPU for each process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yte

from papa.benchmark import gpus, machine

REPOSITORY = Path(__file__).parents[2]
COMMIT = "from papa.benchmark.machine import git_commit; print(git_commit())"


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_machine_that_does_not_say_has_a_name_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str
) -> None:
    assert machine.this_machine().processor
    monkeypatch.setattr(machine.sys, "platform", platform)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine, "Path", lambda name: tmp_path / name.lstrip("/"))
    machine.processor.cache_clear()
    try:
        assert machine.processor().strip()
    finally:
        machine.processor.cache_clear()


@pytest.mark.parametrize(("platform", "unit"), [("darwin", 2**20), ("freebsd14", 2**10)])
def test_peak_memory_is_in_mebibytes_on_every_system(monkeypatch: pytest.MonkeyPatch, platform: str, unit: int) -> None:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    monkeypatch.setattr(machine.sys, "platform", platform)
    assert machine.peak_memory_mib() == pytest.approx(peak / unit, rel=0.2)


@pytest.fixture
def commit(tmp_path: Path) -> Callable[..., str]:
    """The commit of a copy of the package, by a process of its own."""
    shutil.copytree(REPOSITORY / "papa", tmp_path / "papa", ignore=shutil.ignore_patterns("data", "__pycache__"))

    def found(**environment: str) -> str:
        given = os.environ | {"PYTHONPATH": str(tmp_path)} | environment
        done = subprocess.run(
            [sys.executable, "-c", COMMIT], cwd=tmp_path, env=given, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    return found


def test_the_commit_is_that_of_our_own_repository_and_says_whether_it_was_changed(
    commit: Callable[..., str], tmp_path: Path
) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e@example.org", *words], cwd=tmp_path, check=True)

    assert commit(PATH=str(tmp_path / "nothing")) == "None"
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "of another project")
    assert commit() == "None"
    git("add", "papa")
    git("commit", "-q", "-m", "ours")
    assert len(commit()) == 40
    with (tmp_path / "papa" / "rng.py").open("a", encoding="utf-8") as handle:
        handle.write("# changed\n")
    assert commit().endswith("+")


def test_a_git_that_hangs_is_noted_and_no_commit_is_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "git").write_text("#!/bin/sh\nexec sleep 100\n", encoding="utf-8")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(machine, "GIT_SECONDS", 0.2)
    monkeypatch.setattr(Path, "exists", lambda path: True)
    assert machine.git_commit.__wrapped__() is None
    assert "no commit is recorded" in capsys.readouterr().err


HOLDER = """
import sys, time
from pathlib import Path
from papa.benchmark.gpus import take_one_of
say = lambda message: print(message, flush=True)
say(take_one_of(sys.argv[2:], say, Path(sys.argv[1])))
time.sleep(3600)
"""
Holder = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Holder]:
    """Start a process that takes one of some GPUs, says which, and stays."""
    monkeypatch.setattr(gpus, "_taken", None)
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


def test_processes_take_different_gpus_by_name_and_wait_for_one_that_is_free(
    holder: Holder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, second = holder("a", "b"), holder("b", "a")  # each process may see them in another order
    assert {said(first), said(second)} == {"0"}
    chosen: list[int] = []
    names = ["b", "a", "c"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=names[index]))
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    messages: list[str] = []
    gpus.take_gpu(messages.append)
    gpus.take_gpu(messages.append)  # a process that opens a second task keeps its GPU
    assert chosen == [2] and len(messages) == 1 and "cuda:2" in messages[0]
    third = holder("a", "b")
    assert said(third).startswith("all 2 GPUs are")
    second.send_signal(signal.SIGKILL)
    second.wait()
    assert said(third) == "1" and first.poll() is None


@pytest.mark.parametrize(
    ("files", "visible", "count"), [(0, None, 0), (4, None, 4), (4, "0,3", 2), (4, "-1", 0), (0, "0", 0)]
)
def test_the_profile_counts_the_gpus_that_can_be_used(
    monkeypatch: pytest.MonkeyPatch, files: int, visible: str | None, count: int
) -> None:
    import glob

    monkeypatch.setattr(glob, "glob", lambda pattern: [f"/dev/nvidia{index}" for index in range(files)])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    profile = (REPOSITORY / "profiles/default/config.yaml").read_text(encoding="ascii")
    assert yte.process_yaml(profile, require_use_yte=True)["resources"]["gpu"] == count
