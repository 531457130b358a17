"""What the machine around a run is like, and that text is read alike everywhere."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from papa.benchmark import machine

REPOSITORY = Path(__file__).parents[2]
SOURCES = [*REPOSITORY.glob("papa/**/*.py"), *REPOSITORY.glob("tools/*.py"), *REPOSITORY.glob("examples/*.py")]
COMMIT = "from papa.benchmark.machine import git_commit; print(git_commit())"


def without_encoding(source: str) -> list[int]:
    """Lines that read or write text in whatever encoding the machine has."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(word.arg in ("encoding", "buffering") for word in node.keywords):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        mode = node.args[1].value if len(node.args) > 1 and isinstance(node.args[1], ast.Constant) else "r"
        if name in ("read_text", "write_text") or (name == "open" and "b" not in str(mode)):
            found.append(node.lineno)
    return found


def test_text_is_read_and_written_in_utf8() -> None:
    found = {str(file): lines for file in SOURCES if (lines := without_encoding(file.read_text(encoding="utf-8")))}
    assert not found and len(SOURCES) > 80
    assert without_encoding("open('a')\nPath('b').read_text()\nopen('c', 'rb')") == [1, 2]


def test_what_snakemake_reads_is_plain_ascii() -> None:
    """It opens these in the machine's encoding."""
    files = [REPOSITORY / "Snakefile", *REPOSITORY.glob("workflow/**/*.smk"), *REPOSITORY.glob("profiles/*/*.yaml")]
    for file in [*files, REPOSITORY / "config.yaml", *REPOSITORY.glob("config/*.yaml")]:
        assert file.read_bytes().isascii(), file


def test_the_processor_has_a_name() -> None:
    found = machine.this_machine()
    assert found.processor and found.system and found.cores >= 1 and found.versions["torch"]


def commit_of(package: Path, **environment: str) -> str:
    command = [sys.executable, "-c", COMMIT]
    given = os.environ | {"PYTHONPATH": str(package)} | environment
    return subprocess.run(command, cwd=package, env=given, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(REPOSITORY / "papa", tmp_path / "papa", ignore=shutil.ignore_patterns("data", "__pycache__"))
    return tmp_path


def test_without_git_there_is_no_commit_and_no_error(copy: Path) -> None:
    assert commit_of(copy, PATH=str(copy / "nothing")) == "None"


def test_somebody_elses_repository_is_not_ours(copy: Path) -> None:
    (copy / "theirs.txt").write_text("theirs", encoding="utf-8")
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org"]
    for words in (["init", "-q"], ["add", "theirs.txt"], ["commit", "-q", "-m", "theirs"]):
        subprocess.run([*git, *words], cwd=copy, check=True)
    assert commit_of(copy) == "None"
    for words in (["add", "papa"], ["commit", "-q", "-m", "ours"]):
        subprocess.run([*git, *words], cwd=copy, check=True)
    assert len(commit_of(copy)) == 40
    with (copy / "papa" / "rng.py").open("a", encoding="utf-8") as handle:
        handle.write("# changed\n")
    assert commit_of(copy).endswith("+")


@pytest.mark.parametrize(("platform", "unit"), [("darwin", 2**20), ("freebsd14", 2**10)])
def test_peak_memory_is_in_mebibytes_on_every_system(monkeypatch: pytest.MonkeyPatch, platform: str, unit: int) -> None:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    monkeypatch.setattr(machine.sys, "platform", platform)
    assert machine.peak_memory_mib() == pytest.approx(peak / unit, rel=0.2)
