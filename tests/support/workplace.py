"""A copy of the repository in which a tiny experiment runs as a newcomer runs it: `snakemake` in a shell."""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

REPOSITORY = Path(__file__).parents[2]
ACCIDENTS = str(REPOSITORY / "tests/workflow/accidents")
"""On PYTHONPATH, accidents happen where the environment says."""
NEEDED = ("Snakefile", "config.yaml", "config", "environment.yml", "papa", "profiles", "workflow")

MEASURES = {"final": 16, "per_round": 8, "base": 32, "diversity": 16, "kid_subset": 8, "kid_subsets": 4}
FEW = {"labels": 8, "per_round": 4}
TINY: dict[str, Any] = {
    "results": "results",
    "figures": "figures",
    "device": "cpu",
    "seeds_per_job": 2,
    "measures": MEASURES,
    "tasks": {"digits": {"steps": 4}, "gmm2d": {"steps": 5}},
    "methods": {
        "base": dict(FEW),
        "papa": FEW | {"updates": 1, "items": 4, "timesteps": 2},
        "fkc": FEW | {"particles": 4, "surrogate": {"epochs": 2, "channels": 8}},
        "fkc-plane": FEW | {"algorithm": "fkc", "reward": "true", "particles": 16},
    },
    "grid": {
        "main": {"task": "digits", "methods": ["base", "papa", "fkc"], "users": ["likes-3"], "seeds": [0, 1]},
        "plane": {"task": "gmm2d", "methods": ["base", "fkc-plane"], "users": ["linear"], "seeds": [0]},
    },
}

Axes = tuple[str, ...]


def surroundings() -> dict[str, str]:
    """The environment of a command, with the tests' Python first on PATH. Inside pytest-xdist or an outer run, nothing
    of the outer process may shine through."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    outer = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "SNAKEMAKE_PROFILE"}}
    return outer | {"PATH": path}


def text_of(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def without_costs(table: pd.DataFrame) -> pd.DataFrame:
    """A table without what differs from one run to the next: time and memory."""
    return table[~table.metric.isin(["seconds", "peak_memory"])].reset_index(drop=True)


def assert_same_numbers(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True), check_exact=True)


class Work:
    """A copy of the repository in which things are run and changed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def copy_to(self, root: Path) -> Work:
        shutil.copytree(self.root, root)
        return Work(root)

    def configure(self, **given: Any) -> None:
        """Write config.yaml: the tiny experiment, with top-level settings replaced."""
        text = yaml.safe_dump(copy.deepcopy(TINY | given), sort_keys=False)  # copied: no anchors
        (self.root / "config.yaml").write_text(text, encoding="utf-8")

    def edit(self, file: str) -> None:
        """Change what a source does, at a place that nothing uses."""
        with (self.root / file).open("a", encoding="utf-8") as handle:
            handle.write("\nEDITED = True\n")

    def shell(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command in this folder, in a process group of its own, with the tests' Python first on PATH."""
        return subprocess.run(
            command,
            cwd=self.root,
            env=surroundings() | environment,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
            timeout=3000,
        )

    def snakemake(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.shell(sys.executable, "-m", "snakemake", "--cores", "2", *arguments, **environment)

    def papa(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.shell(sys.executable, "-m", "papa", *arguments, **environment)

    def made(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake to its end; it must end well."""
        done = self.snakemake(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def planned(self, *arguments: str) -> Plan:
        """What `snakemake -n` would do."""
        return Plan(self.made("-n", *arguments).stdout)

    def resume(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run again after a kill: with `--unlock` where Snakemake asks for it."""
        done = self.snakemake(*arguments, **environment)
        if done.returncode and "--unlock" in text_of(done):
            self.made("--unlock")
            done = self.snakemake(*arguments, **environment)
        return done

    def run_folder(self, task: str, method: str, user: str, seed: int) -> Path:
        return self.root / "results" / task / "runs" / method / user / f"seed{seed}"

    def runs(self) -> dict[Axes, int]:
        """Each finished run, and when it was made (nanoseconds)."""
        found = sorted(self.root.glob("results/*/runs/*/*/seed*/run.json"))
        return {file.parts[-6:-5] + file.parts[-4:-1]: file.stat().st_mtime_ns for file in found}

    def remade(self, before: dict[Axes, int]) -> set[Axes]:
        """The runs that were made after `before` was taken."""
        return {axes for axes, when in self.runs().items() if before.get(axes) != when}

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Everything below results and figures: what it holds, and when it was written (nanoseconds)."""
        found = [path for name in ("results", "figures") for path in sorted((self.root / name).rglob("*"))]
        return {
            str(path.relative_to(self.root)): (path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns)
            for path in found
        }

    def numbers(self) -> pd.DataFrame:
        """The long table, without what differs from one run to the next."""
        return without_costs(pd.read_parquet(self.root / "results/runs.parquet"))


class Plan:
    """The jobs that `snakemake -n` names."""

    def __init__(self, text: str) -> None:
        blocks = re.findall(r"^(?:local)?rule ([\w-]+):\n((?: {4}.*\n)+)", text, flags=re.MULTILINE)
        self.rules = Counter(rule for rule, _ in blocks)
        self.alignments: set[Axes] = set()
        for rule, block in blocks:
            if rule == "align":
                values = dict(re.findall(r"(\w+)=([^,\s]+)", re.search(r"wildcards: (.*)", block)[1]))
                self.alignments.add(tuple(values[name] for name in ("task", "method", "users", "chunk")))

    @property
    def methods(self) -> set[str]:
        return {method for _, method, _, _ in self.alignments}

    @property
    def figures(self) -> set[str]:
        return {rule.removeprefix("figure_") for rule in self.rules if rule.startswith("figure_")}

    @property
    def tables(self) -> set[str]:
        return {rule.removeprefix("table_") for rule in self.rules if rule.startswith("table_")}
