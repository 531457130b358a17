"""A fresh run against reference results, a bundle of somebody's own method, and where it ranks."""

from __future__ import annotations

import zipfile
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats
from support import synthetic
from support.tiny import assert_paragraph

from papa.benchmark.grid import Grid
from papa.errors import RecordError, SettingsError
from papa.paper import bundle, cells, reproduced

MACHINE = {"processor": "a processor", "versions": {"torch": "2.0"}}


@pytest.fixture(scope="module")
def grid() -> Grid:
    return synthetic.grid(seeds=5)


@pytest.fixture(scope="module")
def table(grid: Grid) -> pd.DataFrame:
    return synthetic.long_table(grid, rounds=2)


def redrawn(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The same experiment from another root seed: every final value drawn again from its cell's mean and spread."""
    rng, made = np.random.default_rng(seed), table.copy()
    final = made.stage == "final"
    groups = made[final].groupby(cells.AXES).value
    mean, spread = groups.transform("mean"), groups.transform("std").fillna(0)
    made.loc[final, "value"] = mean + spread * rng.standard_normal(final.sum())
    return made


def test_the_tolerance_is_welchs_interval(table: pd.DataFrame, grid: Grid) -> None:
    wanted, fresh = cells.cells(table, grid), cells.cells(redrawn(table, 1), grid)
    found = reproduced.compare(wanted, fresh)
    row = found.cells[(found.cells.method == "papa") & (found.cells.metric == "preference_gold")].iloc[0]

    def values(of: pd.DataFrame) -> pd.Series:
        return of[
            (of.method == "papa") & (of.metric == row.metric) & (of.user == row.user) & (of.stage == "final")
        ].value

    test = scipy_stats.ttest_ind(values(redrawn(table, 1)), values(table), equal_var=False)
    interval = test.confidence_interval(0.95)
    assert row.p == pytest.approx(test.pvalue)
    assert row.tolerance == pytest.approx((interval.high - interval.low) / 2)


def test_another_root_seed_reproduces_what_intervals_promise(table: pd.DataFrame, grid: Grid) -> None:
    wanted, shares, methods = cells.cells(table, grid), [], []
    for seed in range(20):
        found = reproduced.compare(wanted, cells.cells(redrawn(table, seed), grid))
        shares.append(found.share)
        methods.append((found.methods().verdict == reproduced.REPRODUCED).mean())
    assert 0.93 < np.mean(shares) < 1 and np.mean(methods) > 0.9


@pytest.mark.parametrize("sabotaged", ["papa", "fkc"])
def test_a_sabotaged_method_differs_and_no_other(table: pd.DataFrame, grid: Grid, sabotaged: str) -> None:
    wanted = cells.cells(table, grid)
    worse = synthetic.shift(redrawn(table, 3), sabotaged, "preference_gold", -0.3)
    verdicts = reproduced.compare(wanted, cells.cells(worse, grid)).methods().set_index("method").verdict
    plain = reproduced.compare(wanted, cells.cells(redrawn(table, 3), grid)).methods().set_index("method").verdict
    assert verdicts[sabotaged] == reproduced.DIFFERS
    assert verdicts.drop(sabotaged).equals(plain.drop(sabotaged))


def test_what_did_not_run_or_has_one_seed_is_said_to_be_so(table: pd.DataFrame, grid: Grid) -> None:
    wanted = cells.cells(table, grid)
    without = table[(table.method != "papa") & ((table.method != "fkc") | (table.seed == 0))]
    verdicts = reproduced.compare(wanted, cells.cells(without, grid)).methods().set_index("method").verdict
    assert (verdicts["papa"], verdicts["fkc"]) == (reproduced.MISSING, reproduced.FEW)


def test_what_an_image_costs_has_to_be_equal(table: pd.DataFrame, grid: Grid) -> None:
    wanted, dearer = cells.cells(table, grid), synthetic.shift(table, "fkc", "sample", 1.0)
    found = reproduced.compare(wanted, cells.cells(dearer, grid)).cells
    apart = found[found.verdict == reproduced.DIFFERS]
    assert set(zip(apart.method, apart.metric, strict=True)) == {("fkc", "sample")}


def test_the_page_says_how_many_and_names_what_differs(table: pd.DataFrame, grid: Grid, tmp_path: Path) -> None:
    worse = synthetic.shift(table, "papa", "preference_gold", -0.3)
    found = reproduced.compare(cells.cells(table, grid), cells.cells(worse, grid))
    page, numbers = reproduced.write(found, Path("reference/x"), "Runs of commit y.", tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "cells are reproduced" in text and "reference/x" in text and "Runs of commit y." in text
    assert "| papa " in text and "differs" in text
    assert len(pd.read_csv(numbers)) == len(found.cells)


# ---------------------------------------------------------------- bundles


def test_a_bundle_ranks_where_its_values_put_it(table: pd.DataFrame, grid: Grid, tmp_path: Path) -> None:
    file = bundle.write(table, grid, "papa", MACHINE, tmp_path / "mine.zip")
    read = bundle.read(file)
    assert read.about["settings"]["labels"] == 80 and read.about["machine"] == MACHINE
    text = bundle.ranking(read, cells.cells(table, grid))
    lines = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| ") and "rank" not in line]
    names = [name.strip() for _, name in lines if name.strip("- :")]
    assert names.index("fkc-tuned") < names.index("papa (yours)") < names.index("fkc") and "base" not in names
    assert "digits (likes-068, likes-1479, likes-3), 80 labels" in text and "torch 2.0" in text


def test_other_budgets_stand_apart(table: pd.DataFrame, grid: Grid, tmp_path: Path) -> None:
    methods = synthetic.METHODS | {"mine": {"algorithm": "papa", "labels": 16}}
    block = {"task": "digits", "methods": ["base", "mine"], "users": synthetic.USERS, "seeds": [0, 1]}
    few = synthetic.grid(methods=methods, grid={"main": block})
    file = bundle.write(synthetic.long_table(few, rounds=2), few, "mine", MACHINE, tmp_path / "mine.zip")
    parts = bundle.ranking(bundle.read(file), cells.cells(table, grid)).split("### ")
    of = {part.splitlines()[0].split(", ")[-1]: part for part in parts if part}
    assert "mine (yours)" in of["16 labels"] and "| papa " not in of["16 labels"]
    assert "mine (yours)" not in of["80 labels"] and "| papa " in of["80 labels"]


def test_a_bundle_that_was_touched_up_is_refused(table: pd.DataFrame, grid: Grid, tmp_path: Path) -> None:
    file = bundle.write(table, grid, "papa", MACHINE, tmp_path / "mine.zip")
    with zipfile.ZipFile(file) as of:
        parts = {name: of.read(name).decode() for name in of.namelist()}
    found = pd.read_csv(StringIO(parts[bundle.CELLS]))
    found.loc[found.method == "papa", "mean"] += 0.1
    with zipfile.ZipFile(tmp_path / "better.zip", "w") as of:
        for name, text in (parts | {bundle.CELLS: found.to_csv(index=False)}).items():
            of.writestr(name, text)
    with pytest.raises(RecordError, match="not the means of the runs"):
        bundle.read(tmp_path / "better.zip")


def test_what_is_no_bundle_or_no_reference_is_refused(table: pd.DataFrame, grid: Grid, tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no zip")
    for name in ("text.zip", "nothing.zip"):
        with pytest.raises(RecordError) as raised:
            bundle.read(tmp_path / name)
        assert_paragraph(str(raised.value), name, "papa submit")
    with pytest.raises(RecordError, match="do this"):
        cells.read(tmp_path / "cells.csv", "do this")
    (tmp_path / "cells.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RecordError, match="lacks the columns"):
        cells.read(tmp_path / "cells.csv", "do this")
    with pytest.raises(SettingsError, match="did you mean"):
        bundle.write(table, grid, "pap", MACHINE, tmp_path / "x.zip")
