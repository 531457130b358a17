"""What CONTRIBUTING.md says of adding something is done to a copy of the repository, to the letter, and must work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from support import tiny
from support.workplace import surroundings, text_of

from papa.benchmark import grid
from papa.benchmark.config import read

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS: list[str] = re.findall(r"^```(?:python|yaml)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
COPIED = ("papa", "recipes", "config", "config.yaml", "tests", "pyproject.toml")

NEW = {"papa/methods/weighted.py", "papa/methods/density.py", "config/weighted.yaml"}
REGISTRY = "papa/methods/__init__.py"
ALIKE = {"weighted": [], "weighted-uniform": ["least"], "density": []}
"""The methods, an ablation, and the setting in which it differs."""

COMMANDS = """
import json, sys
from pathlib import Path
import papa
from papa import cli
assert Path(papa.__file__).is_relative_to(Path.cwd()), papa.__file__
sys.exit(next(filter(None, map(cli.main, json.loads(sys.argv[1]))), 0))
"""
"""`papa` commands one after another in one process (starting one takes seconds), until one fails."""

WORDS_OF_FIGURE = """
import json, sys
from matplotlib.text import Text
from papa.benchmark import grid
from papa.paper.figures import pareto, style
from papa.paper.long_table import read_table
from papa.paper.select import check
of = grid.load(sys.argv[1])
with style.paper():
    drawn = pareto.draw(check(read_table(of)), of)
print(json.dumps([text.get_text() for text in drawn.findobj(Text)]))
"""


def blocks() -> dict[str, str]:
    """File -> what the page says of it, by the file's name in the first line: a file's content, or a line to add."""
    named = (re.match(r"# (\S+\.(?:py|yaml))(, lines of METHODS)?\n", block) for block in BLOCKS)
    found = {match[1]: match.string[match.end() :] for match in named if match}
    assert set(found) == {*NEW, REGISTRY}
    return found


def follow(copy: Path) -> None:
    """Do what the page says."""
    for name, text in blocks().items():
        file = copy / name
        if name == REGISTRY:
            before, opening, after = file.read_text(encoding="utf-8").partition("METHODS: dict[str, str] = {\n")
            assert opening
            file.write_text(before + opening + text + after, encoding="utf-8")
        else:
            assert not file.exists()
            file.write_text(text, encoding="utf-8")


def sources(folder: Path) -> dict[str, list[str]]:
    """Every text file of what is copied, by its lines."""
    found = [path for name in COPIED for path in [folder / name, *sorted((folder / name).rglob("*"))]]
    texts = [path for path in found if path.is_file() and path.suffix in {".py", ".yaml", ".toml"}]
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8").splitlines() for path in texts}


def small(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The page's configuration with its blocks alone, each method and measure made small, for one seed."""
    fewer = {name: tiny.SMALL[name] for name in ("updates", "items", "timesteps")}
    labels = {name: tiny.SMALL[name] for name in ("labels", "per_round")}
    blocks = {name: block | {"seeds": [0]} for name, block in data["grid"].items() if name.startswith("weighted")}
    methods = {name: data["methods"][name] | labels for name in ("base", *ALIKE)}
    methods |= {name: methods[name] | fewer for name in ("weighted", "weighted-uniform")}
    methods["density"] |= {"n": 2}
    places = {name: str(folder / name) for name in ("results", "figures")}
    tiny_tasks = {"measures": tiny.MEASURES, "measures_by_task": {}, "tasks": {"digits": {"steps": 3}}}
    return data | places | tiny_tasks | {"methods": methods, "grid": blocks}


class Copy:
    """A copy of the repository in which the page was followed, and its small configuration."""

    def __init__(self, folder: Path) -> None:
        self.root, self.folder = folder / "repository", folder
        self.root.mkdir()
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(ROOT / name, self.root / name)
        self.before = sources(self.root)
        follow(self.root)
        self.config = folder / "small.yaml"
        self.config.write_text(
            yaml.safe_dump(small(read(self.root / "config/weighted.yaml"), folder)), encoding="utf-8"
        )

    def python(self, *arguments: str) -> str:
        """Run the copy's code; it must end well."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=surroundings() | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.fspath(self.root)},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, text_of(done)
        return done.stdout

    def papa(self, *commands: str) -> None:
        """Run commands, each a line without its configuration."""
        lines = [[*command.split(), "--config", str(self.config)] for command in commands]
        self.python("-c", COMMANDS, json.dumps(lines))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The copy, its runs done, scored and collected, and what is made of them."""
    made = Copy(tmp_path_factory.mktemp("contributing"))
    runs = [
        f"align --task digits --method {method} --user {user}"
        for block in read(made.config)["grid"].values()
        for method in block["methods"]
        for user in block["users"]
    ]
    made.papa("base --task digits --seeds 0", *runs, "collect", "make T1", "make T4", "make F2")
    return made


def test_a_file_and_a_line_each_and_one_configuration_are_all_that_it_takes(copy: Copy) -> None:
    after = sources(copy.root)
    assert set(after) - set(copy.before) == NEW
    assert {name for name in copy.before if after[name] != copy.before[name]} == {REGISTRY}
    assert len(after[REGISTRY]) == len(copy.before[REGISTRY]) + 2
    added = [line for line in after[REGISTRY] if line not in copy.before[REGISTRY]]
    assert added == blocks()[REGISTRY].splitlines()


def test_the_ablation_is_one_setting_away_and_gives_other_values(copy: Copy) -> None:
    table = pd.read_parquet(copy.folder / "results/runs.parquet")
    assert set(table.method) == {"base", *ALIKE}
    settings = read(copy.root / "config/weighted.yaml")["methods"]
    assert settings["weighted"] == {} and set(settings["weighted-uniform"]) == {"algorithm", *ALIKE["weighted-uniform"]}
    shared = table[(table.user == "likes-1479") & (table.stage == "final") & (table.metric == "distance")]
    assert shared.groupby("method").value.first().nunique() == len({"base", *ALIKE})


def test_the_method_stands_in_t1_and_its_ablation_beside_it_in_t4(copy: Copy) -> None:
    tables = {name: pd.read_csv(copy.folder / f"results/tables/{name}.csv") for name in ("T1", "T4")}
    assert set(tables["T1"].method) == {"base", "weighted", "density"}
    assert "weighted-uniform" in set(tables["T4"].method)
    text = (copy.folder / "results/tables/T4.md").read_text(encoding="utf-8")
    assert "least: 0.1 → 1" in text


def test_both_stand_in_the_figure(copy: Copy) -> None:
    assert (copy.folder / "figures/F2.png").stat().st_size > 1000
    words = json.loads(copy.python("-c", WORDS_OF_FIGURE, str(copy.config)))
    assert {"weighted", "weighted-uniform"} <= set(words)


@pytest.mark.slow
def test_the_conformance_tests_take_the_method_up(copy: Copy) -> None:
    file = "tests/methods/test_conformance.py"
    said = copy.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "weighted-digits or density-digits", file)
    assert int(re.search(r"(\d+) passed", said)[1]) >= 8 and "skipped" not in said


def test_the_page_extends_the_default_experiment_and_changes_nothing_of_it(copy: Copy) -> None:
    whole, default = read(copy.root / "config/weighted.yaml"), read(copy.root / "config.yaml")
    assert whole["methods"] == default["methods"] | {name: whole["methods"][name] for name in ALIKE}
    assert {name: block for name, block in whole["grid"].items() if name in default["grid"]} == default["grid"]


def test_the_tastes_of_the_page_are_users(tmp_path: Path) -> None:
    found = [yaml.safe_load(block)["users"] for block in BLOCKS if block.startswith("users:")]
    assert len(found) == 1
    block = tiny.DIGITS | {"users": ["likes-2", "likes-2-or-errs"]}
    fruits = {"task": "fruits", "methods": ["base"], "users": ["two-apples"], "seeds": [0]}
    data = tiny.config(tmp_path, block, users=found[0]) | {"grid": {"main": block, "fruits": fruits}}
    assert {spec.user for spec in grid.load(tiny.write(tmp_path, data))} == set(found[0])
