"""The declared sources of a key are those that a run really loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]

COMPUTE_NOTHING = {
    *("papa", "papa.cli", "papa.errors", "papa.files", "papa.labels", "papa.images", "papa.pictures", "papa.registry"),
    *("papa.settings", "papa.methods", "papa.commands", "papa.benchmark.config", "papa.benchmark.gpus"),
    *("papa.benchmark.grid", "papa.benchmark.machine", "papa.benchmark.personal", "papa.benchmark.specs"),
    *("papa.benchmark.runs", "papa.benchmark.runs.key", "papa.benchmark.runs.record", "papa.benchmark.tasks"),
    *("papa.benchmark.users", "papa.benchmark"),
}
"""Modules that name what exists, read settings, or write files; of a package, its `__init__.py`."""

PROBE = """
import contextlib, importlib, io, json, os, sys, traceback
import diffusers, pandas, torch

torch.set_num_threads(1)
for config in sys.argv[1:]:
    if (child := os.fork()) == 0:
        try:
            from papa.benchmark import specs
            from papa.cli import main
            real, specs.sources_of = specs.sources_of, lambda *axes: frozenset()  # it imports every declaration
            with contextlib.redirect_stderr(io.StringIO()) as err:
                assert main(["align", "--config", config]) == 0, err.getvalue()
            ours = [[name, module.__file__] for name, module in sys.modules.items() if name.split(".")[0] == "papa"]
            others = [name for name in sys.modules if name.split(".")[0] not in ("papa", "__main__")]
            from papa.benchmark.grid import load
            from papa.benchmark.runs.key import MEASURING, files_of
            declared = {file for module in MEASURING for file in files_of(module)}
            for spec in load(config):
                declared |= real(spec.of.name, spec.algorithm, spec.who.kinds)
            with open(config + ".json", "w") as file:
                json.dump([ours, sorted(map(str, declared)), others], file)
        except BaseException:
            traceback.print_exc()
        os._exit(0)
    os.waitpid(child, 0)
    with contextlib.suppress(OSError):  # the next child need not import the other packages again
        for name in set(json.load(open(config + ".json"))[2]) - set(sys.modules):
            with contextlib.suppress(BaseException):
                importlib.import_module(name)
"""
"""Each run in a process of its own, forked from one that has imported nothing of papa."""

MEMBER = {"member": {"kind": "member", "number": 300, "flip": 0.1}}
FEW: list[tuple[str, str, str]] = [("gmm2d", "base", "linear"), ("digits", "papa", "likes-3")]
USERS: dict[str, list[str]] = {
    "digits": ["likes-1479", "likes-thick"],
    "fruits": ["apple", "yellow", "hasty-lemon", "member"],
}


def every_kind() -> list[tuple[str, str, str]]:
    """Every method on digits or on the first task that it runs on; every kind of user; every task that is shipped."""
    from papa.methods import METHODS

    return [
        *(("fruits" if name.startswith("ppd") else "digits", name, "") for name in METHODS),
        *[("gmm2d", "fkc", "linear"), ("gmm2d", "base", "component"), ("mnist", "epapa", "likes-3")],
        *[
            ("fruits", name, user)
            for name, user in zip(["papa", "fkc", "best_of_n", "base"], USERS["fruits"], strict=True)
        ],
        *[("fruits", "d3po", "apple-then-banana"), ("digits", "reward_model", "likes-thick")],
    ]


def undeclared(cases: list[tuple[str, str, str]], folder: Path) -> dict[str, list[str]]:
    """Case -> the modules that its run loads and that neither a declaration nor COMPUTE_NOTHING names."""
    from support import tiny

    from papa.methods import declaration

    paths: dict[str, Path] = {}
    for number, (task, method, user) in enumerate(cases):
        place = folder / str(number)
        place.mkdir()
        settings: dict[str, Any] = {
            name: value for name, value in tiny.SMALL.items() if name in declaration(method).settings.model_fields
        }
        block = {"task": task, "methods": [method], "users": [user or USERS[task][0]], "seeds": [0]}
        data = tiny.config(place, block, tasks={task: {"steps": 3}}, methods={method: settings})
        data |= {"users": MEMBER} if user in MEMBER else {}
        paths[f"{task}/{method}/{user}"] = tiny.write(place, data)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *map(str, paths.values())], env=environment, capture_output=True, text=True
    )
    found = {}
    for case, path in paths.items():
        answer = Path(f"{path}.json")
        assert answer.is_file(), f"{case} failed: {done.stderr}"
        loaded, declared, _ = json.loads(answer.read_text())
        found[case] = [name for name, file in loaded if file not in declared and name not in COMPUTE_NOTHING]
        assert len(loaded) > 20
    return found


def test_two_runs_load_declared_sources_only(tmp_path: Path) -> None:
    found = undeclared(FEW, tmp_path)
    assert not any(found.values()), found


@pytest.mark.slow
def test_every_kind_of_run_loads_declared_sources_only(tmp_path: Path) -> None:
    found = undeclared(every_kind(), tmp_path)
    assert not any(found.values()), {case: names for case, names in found.items() if names}
