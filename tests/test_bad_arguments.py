"""Commands, names and numbers on the command line that are unknown or make no sense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import tiny
from support.command_line import Papa, align, state_of

from papa.benchmark.metrics import METRICS
from papa.errors import SettingsError
from papa.registry import find


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"task": "gmm2"}, ("task 'gmm2'", "'gmm2d'")),
        ({"method": "bas"}, ("method 'bas'", "'base'")),
        ({"method": "papa"}, ("method 'papa'", "base, fkc")),
        ({"user": "liner"}, ("user 'liner'", "'linear'")),
    ],
)
def test_unknown_runs_are_named(tmp_path: Path, refused: Callable[..., str], axes: dict, words: tuple) -> None:
    refused(*align(tiny.write(tmp_path, tiny.config(tmp_path)), **axes), words=words)


def test_seeds_that_are_not_in_the_grid(tmp_path: Path, refused: Callable[..., str]) -> None:
    path = tiny.write(tmp_path, tiny.config(tmp_path))
    refused(*align(path), "--seeds", "7", words=("seeds=[7]", "grid"))


@pytest.mark.parametrize("task", ["gmm2", "digits"])
def test_base_samples_of_a_task_that_is_not_in_the_grid(tmp_path: Path, refused: Callable[..., str], task: str) -> None:
    path = tiny.write(tmp_path, tiny.config(tmp_path))
    refused(
        "base",
        "--config",
        path,
        "--task",
        task,
        "--seeds",
        "0",
        words=(f"'{task}'", "'gmm2d'" if task == "gmm2" else "gmm2d"),
    )


def test_preparing_an_unknown_task(refused: Callable[..., str]) -> None:
    refused("prepare", "--task", "digit", words=("'digit'", "'digits'"))


def test_unknown_tables_figures_and_metrics(finished: tuple[Path, Path], refused: Callable[..., str]) -> None:
    path, results = finished
    before = state_of(results)
    refused("make", "T11", "--config", path, words=("unknown table or figure 'T11'", "'T1'"))
    refused("make", "F11", "--config", path, words=("unknown table or figure 'F11'", "'F1'"))
    with pytest.raises(SettingsError, match=r"unknown metric 'diversty'; did you mean 'diversity'"):
        find("metric", METRICS, "diversty")
    assert state_of(results) == before


@pytest.mark.parametrize("argv", [[], ["allign"], ["base"], ["make"], ["reference", "wrote"]])
def test_a_command_that_is_none(papa: Papa, argv: list[str]) -> None:
    code, said = papa(*argv)
    assert code != 0 and "usage: papa" in said


@pytest.mark.parametrize("argv", [["align", "--threads", "0"], ["base", "--task", "gmm2d", "--seeds", "x"]])
def test_numbers_that_make_no_sense(tmp_path: Path, papa: Papa, argv: list[str]) -> None:
    path = tiny.write(tmp_path, tiny.config(tmp_path))
    axes = ["--task", "gmm2d", "--method", "base", "--user", "linear"]
    code, said = papa(argv[0], "--config", path, *axes, *argv[1:])
    assert code != 0 and argv[1] in said and "Traceback" not in said
