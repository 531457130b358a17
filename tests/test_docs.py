"""README and docs/: code runs, commands parse, links lead to files, the site is built."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from snakemake.cli import get_argument_parser
from support import tiny_families
from support.pages import PAGES, ROOT, Block, blocks, commands, uncommented
from support.workplace import surroundings

from papa import cli, methods
from papa.benchmark import grid, tasks
from papa.benchmark.config import Config
from papa.paper.figures import FIGURES
from papa.paper.tables import TABLES


def named(found: list[Any]) -> list[Any]:
    """Blocks as parameters with a page and a line for a name."""
    return [pytest.param(block, id=block.name) for block in found]


# ---------------------------------------------------------------- code


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a pipeline and a long table, which blocks use."""
    (tmp_path / "my-pipeline").symlink_to(tiny_families.folder("Stable Diffusion"))
    (tmp_path / "results").mkdir()
    row = {"stage": "final", "metric": "preference_gold", "method": "base", "user": "likes-3", "value": 0.1}
    pd.DataFrame([row]).to_parquet(tmp_path / "results" / "runs.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# tests/test_contributing.py runs the blocks of CONTRIBUTING.
@pytest.mark.parametrize("block", named(blocks("python", but=("CONTRIBUTING.md",))))
def test_python_runs(block: Block, workplace: Path) -> None:
    if block.skipped is not None:
        pytest.skip(block.skipped)
    exec(compile(block.runnable, str(workplace / block.name), "exec"), {"__name__": "__main__"})


# ---------------------------------------------------------------- commands


def commands_of(program: str) -> list[Any]:
    """Every command of the shell blocks that runs this program, as parameters."""
    found = []
    for block in blocks("bash"):
        if block.skipped is None:
            lines = [words for words in commands(uncommented(block.runnable)) if words[0] == program]
            found += [pytest.param(words, id=f"{block.name} {shlex.join(words)}") for words in lines]
    assert found
    return found


def known(args: Any) -> None:
    """What a command of `papa` names exists."""
    if not hasattr(args, "config"):  # `serve` and `labels` read no configuration
        return
    experiment = grid.load(ROOT / args.config)
    assert (ROOT / args.config).is_file()
    if args.command in ("prepare", "base"):
        assert args.task in tasks.TASKS
    if args.command in ("align", "export"):
        assert experiment.select(args.task, args.method, args.user, args.seeds)
    if args.command == "reference" and args.method:
        assert experiment.select(method=args.method)
    if args.command == "make":
        assert args.name in {*TABLES, *FIGURES, "claims", "page", "tuning"}


@pytest.mark.parametrize("words", commands_of("papa"))
def test_commands_of_papa_are_understood(words: list[str]) -> None:
    known(cli.parser().parse_args(words[1:]))


def rules() -> set[str]:
    """The names of the workflow's rules."""
    files = [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]
    return {name for file in files for name in re.findall(r"^rule (\w+):", file.read_text(encoding="utf-8"), re.M)}


def made(experiment: grid.Grid) -> set[str]:
    """Files that the workflow makes of a configuration."""
    results, figures = experiment.config.results, experiment.config.figures
    tables = {f"{results}/tables/{name}{suffix}" for name in TABLES for suffix in (".md", ".csv")}
    drawn = {f"{figures}/{name}{suffix}" for name in FIGURES for suffix in (".png", ".pdf")}
    return tables | drawn | {f"{results}/{name}" for name in ("runs.parquet", "claims.md", "claims.json", "index.html")}


@pytest.mark.parametrize("words", commands_of("snakemake"))
def test_commands_of_snakemake_are_understood(words: list[str]) -> None:
    if "--slurm-" in shlex.join(words) and not importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        pytest.skip("the extra slurm is not installed")
    args = get_argument_parser().parse_args(words[1:])
    for profile in [args.workflow_profile] if args.workflow_profile else []:
        assert (ROOT / profile / "config.yaml").is_file()
    experiment = grid.load(ROOT / (args.configfile[-1] if args.configfile else "config.yaml"))
    assert set(args.targets) <= rules() | made(experiment)


@pytest.mark.parametrize("words", [*commands_of("python"), *commands_of("pytest"), *commands_of("pip")])
def test_files_and_extras_of_other_commands_exist(words: list[str]) -> None:
    for word in words[1:]:
        if re.fullmatch(r"[\w./-]+\.(py|lock)|tests/[\w/]+", word):
            assert (ROOT / word).exists(), f"there is no {word}"
        for extra in re.findall(r"^\.\[(\w+)\]$", word):
            assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


# ---------------------------------------------------------------- configurations


def experiments() -> list[Any]:
    """The YAML blocks that are a part of a configuration."""
    keys = {*Config.model_fields, "extends", "grid_also"}
    read = [(block, list(yaml.safe_load_all(block.runnable))) for block in blocks("yaml") if not block.skipped]
    found = [block for block, documents in read if len(documents) == 1 and set(documents[0]) <= keys]
    assert found
    return named(found)


@pytest.mark.parametrize("block", experiments())
def test_configurations_are_accepted(block: Block, tmp_path: Path) -> None:
    """As a part of the default experiment."""
    data = yaml.safe_load(block.runnable) | {"extends": str(ROOT / "config.yaml")}
    file = tmp_path / "block.yaml"
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    grid.load(file)


# ---------------------------------------------------------------- links, methods, the site


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_links_lead_to_files(page: Path) -> None:
    text = re.sub(r"^```.*?^```$|`[^`\n]+`", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)#\s]+)", text):
        if not re.match(r"[a-z]+:", link):
            assert (page.parent / link).exists(), f"{page.name} links to {link}, which does not exist"


def test_every_method_has_a_section() -> None:
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^### `(\w+)`", page, flags=re.M)) == sorted(methods.METHODS)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    for package in ("mkdocs", "mkdocstrings", "material", "latex2mathml"):
        pytest.importorskip(package, reason="the extra docs is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, env=surroundings(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {page.name: page.read_text(encoding="utf-8") for page in (tmp_path / "site").glob("*.html")}
    assert "<math " in pages["methods.html"] and 'id="papa.Session"' in pages["api.html"]
    for name, text in pages.items():
        loaded = re.findall(r"<(?:script|img|link)\b[^>]*?(?:src|href)=\"(https?://[^\"]+)", text)
        assert not loaded, f"{name} loads {loaded}"
