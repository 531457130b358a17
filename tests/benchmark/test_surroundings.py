"""What the machine around a run is like, and that text is read alike everywhere."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import tiny
from support.command_line import Papa, align

from papa.benchmark import machine
from papa.benchmark.runs.record import read_record

REPOSITORY = Path(__file__).parents[2]
PATTERNS = ("papa/**/*.py", "tools/*.py", "examples/*.py", "workflow/**/*.py", "workflow/**/*.smk", "Snakefile")
SOURCES = [file for pattern in PATTERNS for file in REPOSITORY.glob(pattern)]
COMMIT = "from papa.benchmark.machine import git_commit; print(git_commit())"


OPENERS = {"open", "read_text", "write_text", "fdopen", "NamedTemporaryFile", "TemporaryFile", "TextIOWrapper"}
ALWAYS_TEXT = {"read_text", "write_text", "TextIOWrapper"}


def calls(source: str) -> Iterator[ast.Call]:
    """Every call of a source. What Snakemake adds to the language is no Python: there, calls of openers are picked."""
    try:
        found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    except SyntaxError:
        found = []
        for match in re.finditer(rf"\b({'|'.join(OPENERS)})\(", source):
            end = next(i for i in range(match.end(), len(source)) if balanced(source[match.start() : i + 1]))
            call = ast.parse(source[match.start() : end + 1], mode="eval").body
            assert isinstance(call, ast.Call)
            found.append(ast.increment_lineno(call, source[: match.start()].count("\n")))
    yield from found


def balanced(text: str) -> bool:
    return text.endswith(")") and text.count("(") == text.count(")")


def without_encoding(source: str) -> list[int]:
    """Lines that read or write text, of files or of other programs, in whatever encoding the machine has."""
    found = []
    for node in calls(source):
        words = {word.arg: word.value for word in node.keywords}
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if "encoding" in words or ast.unparse(node.func) == "Image.open":  # a picture is no text
            continue
        constants = [part.value for part in (*node.args, words.get("mode")) if isinstance(part, ast.Constant)]
        modes = [text for text in constants if isinstance(text, str) and re.fullmatch(r"[rwaxbt+U]{1,4}", text)]
        unbuffered = isinstance(size := words.get("buffering"), ast.Constant) and size.value == 0  # bytes alone
        binary = unbuffered or any("b" in mode for mode in modes) or (name.endswith("TemporaryFile") and not modes)
        if name in ALWAYS_TEXT or (name in OPENERS and not binary) or {"text", "universal_newlines"} & words.keys():
            found.append(node.lineno)
    return sorted(found)


def test_text_is_read_and_written_in_utf8() -> None:
    found = {str(file): lines for file in SOURCES if (lines := without_encoding(file.read_text(encoding="utf-8")))}
    assert not found and len(SOURCES) > 85 and len([file for file in SOURCES if file.suffix != ".py"]) > 3


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("open('a')\nPath('b').read_text()\nopen('c', 'rb')", [1, 2]),
        ("Path('a').open('w')\nPath('a').open('wb')\nPath('a').open()\nopen('a', mode='r')", [1, 3, 4]),
        ("open('a', encoding='utf-8')\nPath('a').write_text('b', encoding='utf-8')", []),
        ("Path('a').write_text('rb')\nio.TextIOWrapper(b)\nopen('a', mode='rb')", [1, 2]),
        ("run(a, text=True)\nrun(a)\nrun(a, encoding='utf-8')\nPopen(a, universal_newlines=True)", [1, 4]),
        ("Image.open('a')\nImage.new('a').open()", [2]),
        ("open('a', mode, buffering=0)\nopen('a', mode, buffering=1)", [2]),
        ("NamedTemporaryFile()\nNamedTemporaryFile('w')", [2]),
        ("rule a:\n    input: 'b'\n    run:\n        open(f('a'))\n        Path(b).read_text()\n", [4, 5]),
        ("rule a:\n    run:\n        open('a', 'rb')\n        Path(b).read_text(encoding='utf-8')\n", []),
    ],
)
def test_the_scan_finds_what_has_no_encoding(source: str, lines: list[int]) -> None:
    assert without_encoding(source) == lines


def test_what_snakemake_reads_is_plain_ascii() -> None:
    """It opens these in the machine's encoding."""
    files = [REPOSITORY / "Snakefile", *REPOSITORY.glob("workflow/**/*.smk"), *REPOSITORY.glob("profiles/*/*.yaml")]
    for file in [*files, REPOSITORY / "config.yaml", *REPOSITORY.glob("config/*.yaml")]:
        assert file.read_bytes().isascii(), file


def test_the_processor_has_a_name() -> None:
    found = machine.this_machine()
    assert found.processor and found.system and found.cores >= 1 and found.versions["torch"]


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32", "freebsd14"])
def test_a_machine_that_does_not_say_has_a_name_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str
) -> None:
    """Without /proc/cpuinfo, and without sysctl: what Python knows."""
    monkeypatch.setattr(machine.sys, "platform", platform)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine, "Path", lambda name: tmp_path / name.lstrip("/"))
    machine.processor.cache_clear()
    try:
        assert machine.processor().strip()
    finally:
        machine.processor.cache_clear()


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


@pytest.mark.usefixtures("small_blocks")
def test_without_git_a_run_is_kept(tmp_path: Path, papa: Papa, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    machine.git_commit.cache_clear()
    try:
        code, said = papa(*align(tiny.write(tmp_path, tiny.config(tmp_path))))
    finally:
        machine.git_commit.cache_clear()
    assert code == 0, said
    record = read_record(tmp_path / "results" / "gmm2d" / "runs" / "base" / "linear" / "seed0").verify()
    assert record.meta.status == "done" and record.meta.machine.commit is None
    assert record.meta.machine.processor == machine.processor()


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
