"""Write requirements.lock and environment.yml from pyproject.toml.

    python tools/lock.py              keep the pins that still fit, add what is missing, drop what nobody needs
    python tools/lock.py --upgrade    the newest versions that fit
    python tools/lock.py --conda      environment.yml alone, from the lock as it stands (offline)

The lock holds every package that `pip install -e ".[test]"` brings on Linux x86-64 with CPython 3.11,
as the package index has it: pip's own settings on this machine (local wheels, mirrors) are left aside.
Packages that only Linux needs (CUDA, Triton) carry a marker, so that the lock serves other systems too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
CONDA = ROOT / "environment.yml"
PYTHON = "3.11"
EXTRAS = ("test",)
LINUX = 'sys_platform == "linux"'
# What markers are evaluated for: the machine of the lock, and one that needs fewer packages.
HERE = {"python_version": PYTHON, "sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}
MAC = HERE | {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"}

LOCK_HEADER = """\
# Made by tools/lock.py; not edited by hand. The exact versions of one tested environment
# (Linux x86-64, CPython {python}). Use it as constraints: pip install -c requirements.lock -e .
"""
CONDA_HEADER = """\
# Made by tools/lock.py from requirements.lock; not edited by hand. Python and pip come from
# conda-forge, everything else from the lock, so that pip and conda give one environment.
# The package itself is not in it: `python -m papa` and `snakemake` run from the repository,
# and Snakemake copies this file elsewhere, where no relative path would hold.
"""


def requested(pyproject: Path = ROOT / "pyproject.toml") -> list[str]:
    """The requirements that the lock is made from: dependencies and the locked extras."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras = [line for extra in EXTRAS for line in project["optional-dependencies"][extra]]
    return sorted([*project["dependencies"], *extras], key=str.lower)


def closure(wanted: Iterable[str], requires: Mapping[str, list[str]], environment: Mapping[str, str]) -> set[str]:
    """Names of all packages that `wanted` need.

    Args:    requires: canonical name -> its Requires-Dist lines. environment: values of markers.
    """
    seen: set[tuple[str, str]] = set()
    queue = [(Requirement(line), "") for line in wanted]
    while queue:
        requirement, extra = queue.pop()
        answers = {**default_environment(), **environment, "extra": extra}
        if requirement.marker and not requirement.marker.evaluate(answers):
            continue
        name = canonicalize_name(requirement.name)
        for inner in ("", *sorted(requirement.extras)):
            if (name, inner) not in seen:
                seen.add((name, inner))
                queue.extend((Requirement(line), inner) for line in requires.get(name, []))
    return {name for name, _ in seen}


def resolve(wanted: list[str], constraints: Path | None) -> list[str]:
    """The lock's lines: ask pip, in a fresh environment and without installing anything."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = [str(Path(folder, "bin", "python")), "-m", "pip", "--isolated", "--disable-pip-version-check"]
        report = Path(folder, "report.json")
        command = [*pip, "install", "--quiet", "--dry-run", "--ignore-installed", "--report", str(report)]
        subprocess.run([*command, *(["-c", str(constraints)] if constraints else []), *wanted], check=True)
        items = json.loads(report.read_text(encoding="utf-8"))["install"]
    versions = {canonicalize_name(item["metadata"]["name"]): item["metadata"]["version"] for item in items}
    if local := [name for name, version in versions.items() if "+" in version]:
        sys.exit(f"These are local builds, not what the index gives to everybody: {', '.join(local)}.")
    requires = {
        canonicalize_name(item["metadata"]["name"]): item["metadata"].get("requires_dist", []) for item in items
    }
    everywhere = closure(wanted, requires, MAC)
    return [
        f"{name}=={versions[name]}" + ("" if name in everywhere else f" ; {LINUX}")
        for name in sorted(closure(wanted, requires, HERE))
    ]


def pins(lock: Path = LOCK) -> list[str]:
    """The pinned requirements of the lock."""
    return [line for line in lock.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def made_from(lock: Path = LOCK) -> list[str]:
    """The requirements that the lock says it was made from."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("# from: ") for line in lines if line.startswith("# from: ")]


def lock_text(wanted: list[str], lines: list[str]) -> str:
    header = LOCK_HEADER.format(python=PYTHON)
    return header + "".join(f"# from: {line}\n" for line in wanted) + "".join(f"{line}\n" for line in lines)


def conda_text(lines: list[str]) -> str:
    """environment.yml for these pins."""
    packages = "".join(f"      - {line}\n" for line in lines)
    return (
        f"{CONDA_HEADER}name: papa\nchannels:\n  - conda-forge\n  - nodefaults\n"
        f"dependencies:\n  - python={PYTHON}\n  - pip\n  - pip:\n{packages}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    choice.add_argument("--conda", action="store_true", help="write environment.yml alone")
    options = parser.parse_args()
    if not options.conda:
        if f"{sys.version_info.major}.{sys.version_info.minor}" != PYTHON or sys.platform != "linux":
            sys.exit(f"The lock is made with Python {PYTHON} on Linux; this is Python {sys.version} on {sys.platform}.")
        wanted = requested()
        keep = LOCK if LOCK.is_file() and not options.upgrade else None
        LOCK.write_text(lock_text(wanted, resolve(wanted, keep)), encoding="utf-8")
    CONDA.write_text(conda_text(pins()), encoding="utf-8")


if __name__ == "__main__":
    main()
