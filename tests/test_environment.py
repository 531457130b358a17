"""pyproject.toml, requirements.lock, environment.yml and .ci/run say the same."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import lock  # noqa: E402

AGAIN = "run `python tools/lock.py` and commit both files that it writes"


@pytest.fixture(scope="module")
def versions() -> dict[str, str]:
    """The lock as name -> version."""
    pinned = [Requirement(line) for line in lock.pins()]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pinned}


def test_lock_was_made_from_this_pyproject() -> None:
    assert lock.made_from() == lock.requested(), AGAIN


def test_environment_was_made_from_this_lock() -> None:
    assert lock.CONDA.read_text() == lock.conda_text(lock.pins()), AGAIN


def test_lock_has_the_form_that_the_tool_writes() -> None:
    assert lock.LOCK.read_text() == lock.lock_text(lock.made_from(), lock.pins()), AGAIN


@pytest.mark.parametrize("line", lock.requested())
def test_every_dependency_is_satisfied_by_the_lock(line: str, versions: dict[str, str]) -> None:
    wanted = Requirement(line)
    assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)]), AGAIN


def test_lock_pins_versions_and_names_no_place() -> None:
    for line in lock.pins():
        assert re.fullmatch(r'[a-z0-9-]+==[0-9][0-9a-z.]*( ; sys_platform == "linux")?', line), line


def test_conda_takes_only_python_and_pip_from_its_channel() -> None:
    environment = yaml.safe_load(lock.CONDA.read_text())
    python, pip, rest = environment["dependencies"]
    assert (python, pip, list(rest)) == (f"python={lock.PYTHON}", "pip", ["pip"])
    assert not [line for line in rest["pip"] if line.startswith("-") or "/" in line], "no options, no paths"


def edges(versions: dict[str, str]) -> Iterator[tuple[str, Requirement]]:
    """(package, requirement) of every locked package that is installed here in its locked version."""
    for name, version in versions.items():
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if distribution.version.split("+")[0] == version:
            for line in distribution.requires or []:
                requirement = Requirement(line)
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                    yield name, requirement


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or sys.version_info[:2] != (3, 11),
    reason="the lock is complete for Linux with Python 3.11",
)
def test_lock_is_closed(versions: dict[str, str]) -> None:
    checked = 0
    for name, requirement in edges(versions):
        wanted = canonicalize_name(requirement.name)
        assert wanted in versions, f"{name} needs {requirement}, which the lock lacks; {AGAIN}"
        assert requirement.specifier.contains(versions[wanted], prereleases=True), f"{name} needs {requirement}"
        checked += 1
    if not checked:
        pytest.skip("no locked package is installed here in its locked version")


def test_closure_follows_extras_and_markers() -> None:
    requires = {
        "a": ["b[more]>=1", 'c ; sys_platform == "linux"', 'd ; extra == "docs"'],
        "b": ['e ; extra == "more"', 'f ; extra == "other"'],
    }
    assert lock.closure(["A"], requires, lock.HERE) == {"a", "b", "c", "e"}
    assert lock.closure(["A"], requires, lock.MAC) == {"a", "b", "e"}


def test_readme_has_one_run_and_one_test_command() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    run, test = (
        [line for line in lines if line.startswith("pip install") and word in line] for word in ("snakemake", "pytest")
    )
    assert run == [
        "pip install -c requirements.lock -e . && snakemake --cores all && snakemake --report results/report.html"
    ]
    assert test == ['pip install -c requirements.lock -e ".[test]" && pytest -n 2']


def test_ci_reads_the_command_from_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in script
    assert "pip install -" not in script


def test_package_data_is_declared() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["papa"]
    for file in (ROOT / "papa").rglob("*"):
        if file.is_file() and file.suffix != ".py" and "__pycache__" not in file.parts:
            relative = file.relative_to(ROOT / "papa")
            assert relative.parts[0] == "data" or any(relative.match(pattern) for pattern in declared), relative


def test_the_container_is_made_from_the_lock() -> None:
    """On the lock's Python, with the plugins that pyproject.toml names."""
    text = (ROOT / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    of = {word: [rest for first, rest in lines if first == word] for word in ("FROM", "COPY", "RUN")}
    assert {word for word, _ in lines} == {"FROM", "ARG", "RUN", "COPY", "ENV", "WORKDIR"}
    assert of["FROM"] == [f"python:{lock.PYTHON}-slim-bookworm"]
    assert of["COPY"] == ["requirements.lock /tmp/"]
    assert any("pip install --no-cache-dir -r /tmp/requirements.lock" in command for command in of["RUN"])
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r'"(snakemake[^"]*)"', text)) == set(extras["kubernetes"])


@pytest.mark.parametrize("file", ["Containerfile", "profiles/kubernetes/config.yaml"])
def test_registries_are_public_or_an_example(file: str) -> None:
    hosts = set(re.findall(r"\b(?:[a-z0-9-]+\.)+(?:org|com|io|net|internal|local)\b", (ROOT / file).read_text()))
    assert hosts <= {"download.pytorch.org", "registry.example.org"}


def test_the_container_leaves_out_cuda_and_nothing_else_on_request() -> None:
    """What the CPU's build takes out of the lock is what only Linux needs and comes with CUDA."""
    [pattern] = re.findall(r'sed -i -E "/(.*)/d"', (ROOT / "Containerfile").read_text())
    left_out = [line for line in lock.pins() if re.match(pattern, line)]
    assert len(left_out) > 5 and all(line.endswith(lock.LINUX) for line in left_out)
    kept = [line for line in lock.pins() if line.endswith(lock.LINUX) and line not in left_out]
    assert not [line for line in kept if "cu1" in line or "nv" in line]
