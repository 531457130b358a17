"""What starts without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from papa.benchmark.runs import key as provenance

REPOSITORY = Path(__file__).parents[4]

IMPORTS = """
import contextlib, io, sys
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    {code}
print(*sorted({{"torch", "diffusers", "sklearn", "matplotlib", "scipy", "pandas"}} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("from papa.cli import main; main(['--help'])", set()),
        ("from papa.cli import main; main(['align', '--help'])", set()),
        ("from papa.benchmark.grid import load; [spec.key for spec in load('config.yaml')]", set()),
        ("from papa.cli import main; main(['schema'])", set()),
        ("import papa.benchmark.runs.scores, papa.benchmark.runs.record, papa.benchmark.metrics", set()),
        ("import papa.paper.tables, papa.paper.claims, papa.paper.long_table, papa.paper.stats", {"pandas", "scipy"}),
        (
            "import papa.paper.figures, papa.paper.figures.style, papa.paper.figures.labels",
            {"pandas", "scipy", "matplotlib"},
        ),
    ],
)
def test_what_starts_without_torch(code: str, allowed: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS.format(code=code)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) <= allowed


def test_the_check_for_torch_can_fail() -> None:
    code = IMPORTS.format(code="import papa.benchmark.runs.align")
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "torch" in done.stdout.split()


def test_every_table_and_figure_module_does_without_torch() -> None:
    files = [*provenance.PACKAGE.glob("paper/tables/*.py"), *provenance.PACKAGE.glob("paper/figures/*.py")]
    names = [f"papa.paper.{file.parent.name}.{file.stem}" for file in files if file.stem != "__init__"]
    assert len(names) > 8
    code = f"import {', '.join(names)}, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
