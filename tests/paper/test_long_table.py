"""The long table has every value of the runs of one grid, says what it was made from, and refuses other runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import tiny
from support.command_line import Papa, state_of

from papa.benchmark import grid as grids
from papa.benchmark.machine import git_commit, processor
from papa.benchmark.runs.record import read_scores, write_scores
from papa.errors import RecordError
from papa.paper import long_table, select
from papa.paper.figures import FIGURES
from papa.paper.tables import TABLES

Data = dict[str, Any]


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["methods"]["fkc"].update(beta_max=3),
        lambda d: d["measures"].update(final=9),
        lambda d: d.update(root_seed=7),
        lambda d: d["grid"]["main"].update(seeds=[0, 1, 2]),
        lambda d: d["grid"]["main"].update(users=["quadratic"]),
    ],
)
def test_other_runs_are_refused_and_nothing_is_written(
    finished: tuple[Path, Path], refused: Callable[..., str], change: Callable[[Data], Any]
) -> None:
    path, results = finished
    data = tiny.config(path.parent)
    change(data)
    before = state_of(results)
    refused("make", "page", "--config", tiny.write(path.parent, data), words=("gmm2d/",))
    assert state_of(results) == before


def test_the_long_table_is_every_value(finished: tuple[Path, Path]) -> None:
    path, results = finished
    of = grids.load(path)
    table = long_table.read_table(of)
    assert len(table) == sum(len(read_scores(spec)) for spec in of)
    pd.testing.assert_frame_equal(table, pd.read_parquet(results / "runs.parquet"))
    assert long_table.short(git_commit()) in table.attrs["about"] and processor() in table.attrs["about"]
    assert long_table.short("a" * 40 + "+") == "a" * 10 + "+"


def test_every_table_and_figure_says_which_commit_and_machine(finished: tuple[Path, Path], papa: Papa) -> None:
    path, results = finished
    for name in ("T3", "F7", "claims", "page"):
        assert papa("make", name, "--config", path)[0] == (2 if name == "page" else 0)
    assert (results / "tables/T3.md").is_file() and (results / "claims.md").is_file()
    assert processor() in (path.parent / "figures/F7.rst").read_text(encoding="utf-8")


def test_a_table_of_the_runs_that_are_there(
    finished: tuple[Path, Path], refused: Callable[..., str], papa: Papa
) -> None:
    path, results = finished
    (results / "gmm2d/runs/fkc/linear/seed1/samples.npz").unlink()
    refused("make", "F7", "--config", path, words=("seed1/samples.npz", "missing"))
    assert papa("make", "F7", "--config", path, "--available")[0] == 0
    assert "1 of 4 runs are missing" in (path.parent / "figures/F7.rst").read_text(encoding="utf-8")


def test_a_value_that_is_no_number_is_nan_in_the_table(finished: tuple[Path, Path], papa: Papa) -> None:
    path, _ = finished
    of = grids.load(path)
    spec = next(iter(of))
    rows = read_scores(spec)
    for row, value in zip(rows, (math.nan, math.inf, -math.inf), strict=False):
        row["value"] = np.float64(value)
    write_scores(spec, rows)
    table = long_table.read_table(of)
    assert table.value.isna().sum() >= 3 and np.isfinite(table.value.dropna()).all()


def test_a_long_table_without_a_column_is_refused(finished: tuple[Path, Path]) -> None:
    table = long_table.read_table(grids.load(finished[0]))
    with pytest.raises(RecordError, match="lacks the columns"):
        select.check(table.drop(columns="value"))


def test_every_name_can_be_made_and_another_is_refused(
    finished: tuple[Path, Path], refused: Callable[..., str]
) -> None:
    refused("make", "T11", "--config", finished[0], words=("T11", "T1"))
    assert {"T1", "T9"} <= set(TABLES) and "F1" in FIGURES
