"""The lowest versions that pyproject.toml allows, as pip constraints; the tests must pass with them.

    python tools/lowest.py > lowest.txt
    python -m venv /tmp/lowest && /tmp/lowest/bin/pip install -c lowest.txt -e ".[test]" && /tmp/lowest/bin/pytest

A floor that fails is raised in pyproject.toml; the newest versions stand in requirements.lock.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def floors(requirements: list[str]) -> list[str]:
    """`name==floor` for each requirement that has a floor."""
    found = (re.match(r"([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?>=([0-9][0-9.]*)", entry) for entry in requirements)
    return [f"{match[1]}=={match[2]}" for match in found if match]


def main() -> None:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    print("\n".join(floors(project["dependencies"] + project["optional-dependencies"]["test"])))


if __name__ == "__main__":
    main()
