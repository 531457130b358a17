"""A fresh run against reference results, and the rank of a submitted method."""

from __future__ import annotations

import re
import zipfile
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats
from support import synthetic

from papa.benchmark.grid import Grid
from papa.errors import RecordError, SettingsError
from papa.paper import reference

ROOT = Path(__file__).parents[2]


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
    groups = made[final].groupby(reference.AXES).value
    mean, spread = groups.transform("mean"), groups.transform("std").fillna(0)
    made.loc[final, "value"] = mean + spread * rng.standard_normal(final.sum())
    return made


def test_the_tolerance_is_welchs_interval(table: pd.DataFrame, grid: Grid) -> None:
    wanted, fresh = reference.cells_of(table, grid), reference.cells_of(redrawn(table, 1), grid)
    found = reference.compare(wanted, fresh)
    row = found[(found.method == "papa") & (found.metric == "preference_gold")].iloc[0]

    def values(of: pd.DataFrame) -> pd.Series:
        return of[
            (of.method == "papa") & (of.metric == row.metric) & (of.user == row.user) & (of.stage == "final")
        ].value

    test = scipy_stats.ttest_ind(values(redrawn(table, 1)), values(table), equal_var=False)
    interval = test.confidence_interval(0.95)
    assert row.p == pytest.approx(test.pvalue)
    assert row.tolerance == pytest.approx((interval.high - interval.low) / 2)


def test_another_root_seed_reproduces_what_intervals_promise(table: pd.DataFrame, grid: Grid) -> None:
    wanted, shares, methods = reference.cells_of(table, grid), [], []
    for seed in range(8):
        found = reference.compare(wanted, reference.cells_of(redrawn(table, seed), grid))
        shares.append((found.verdict == reference.REPRODUCED).mean())
        methods.append((reference.by_method(found).verdict == reference.REPRODUCED).mean())
    assert 0.93 < np.mean(shares) < 1 and np.mean(methods) > 0.9


@pytest.mark.parametrize("sabotaged", ["papa", "fkc"])
def test_a_sabotaged_method_differs_and_no_other(table: pd.DataFrame, grid: Grid, sabotaged: str) -> None:
    wanted = reference.cells_of(table, grid)
    worse = synthetic.shift(redrawn(table, 3), sabotaged, "preference_gold", -0.3)
    verdicts = (
        reference.by_method(reference.compare(wanted, reference.cells_of(worse, grid))).set_index("method").verdict
    )
    plain = (
        reference.by_method(reference.compare(wanted, reference.cells_of(redrawn(table, 3), grid)))
        .set_index("method")
        .verdict
    )
    assert verdicts[sabotaged] == reference.DIFFERS
    assert verdicts.drop(sabotaged).equals(plain.drop(sabotaged))


def test_what_did_not_run_or_has_one_seed_is_said_to_be_so(table: pd.DataFrame, grid: Grid) -> None:
    wanted = reference.cells_of(table, grid)
    without = table[(table.method != "papa") & ((table.method != "fkc") | (table.seed == 0))]
    verdicts = (
        reference.by_method(reference.compare(wanted, reference.cells_of(without, grid))).set_index("method").verdict
    )
    assert (verdicts["papa"], verdicts["fkc"]) == (reference.MISSING, reference.FEW)


def test_what_an_image_costs_has_to_be_equal(table: pd.DataFrame, grid: Grid) -> None:
    wanted, dearer = reference.cells_of(table, grid), synthetic.shift(table, "fkc", "sample", 1.0)
    found = reference.compare(wanted, reference.cells_of(dearer, grid))
    apart = found[found.verdict == reference.DIFFERS]
    assert set(zip(apart.method, apart.metric, strict=True)) == {("fkc", "sample")}


def test_check_counts_cells_and_names_those_that_differ(table: pd.DataFrame, grid: Grid, tmp_path: Path) -> None:
    results = Grid(grid.config.model_copy(update={"results": str(tmp_path)}))
    reference.cells_of(table, grid).to_csv(tmp_path / "cells.csv", index=False)
    worse = synthetic.shift(table, "papa", "preference_gold", -0.3)
    page, numbers = reference.check(worse, results, tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "cells are reproduced" in text and "| papa " in text and reference.DIFFERS in text
    found = pd.read_csv(numbers)
    assert set(found[found.verdict == reference.DIFFERS].metric) == {"preference_gold"}


@pytest.mark.parametrize("content", [None, "a,b\n1,2\n", ",".join(reference.COLUMNS) + "\n" + "many," * 7 + "1\n"])
def test_a_reference_that_cannot_be_read_is_named(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "cells.csv").write_text(content)
    with pytest.raises(RecordError, match=re.escape("cells.csv")):
        reference.read_cells(tmp_path)


@pytest.mark.parametrize("folder", sorted(path.name for path in (ROOT / "reference").iterdir() if path.is_dir()))
def test_the_committed_references_can_be_read(folder: str) -> None:
    assert len(reference.read_cells(ROOT / "reference" / folder))


# ---------------------------------------------------------------- submit and rank


@pytest.fixture
def folder(table: pd.DataFrame, grid: Grid, tmp_path: Path) -> Path:
    reference.cells_of(table, grid).to_csv(tmp_path / "cells.csv", index=False)
    return tmp_path


def ranked(text: str) -> dict[str, dict[str, str]]:
    """Method -> heading -> cell, of the first table."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {row[1]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]}


def test_a_method_ranks_by_its_values(table: pd.DataFrame, grid: Grid, folder: Path) -> None:
    file = reference.submit(table, grid, "papa", folder / "mine.zip")
    about, _ = reference.read_bundle(file)
    assert about["settings"]["labels"] == 80 and about["machine"]["processor"]
    rows = ranked(reference.rank(file, folder))
    names = list(rows)
    assert "base" not in names and names.index("papa (yours)") < names.index("epapa")
    mine = rows["papa (yours)"]
    values = table[(table.method == "papa") & (table.metric == "preference_gold") & (table.stage == "final")].value
    assert mine["preference (gold)"].startswith(f"{values.mean():.3f} ± ") and mine["seeds"] == "5"
    assert rows["papa"]["rank"] in mine["level with"], "equal values are level"


def test_a_method_that_lost_its_diversity_has_no_rank(table: pd.DataFrame, grid: Grid, folder: Path) -> None:
    collapsed = synthetic.shift(
        synthetic.shift(table, "papa", "preference_gold", 0.3), "papa", "liked_distance_ratio", -1
    )
    rows = ranked(reference.rank(reference.submit(collapsed, grid, "papa", folder / "mine.zip"), folder))
    assert rows["papa (yours)"]["rank"] == "–" and rows["fkc"]["rank"].isdigit()


def test_other_budgets_are_ranked_separately(grid: Grid, folder: Path) -> None:
    methods = synthetic.METHODS | {"mine": {"algorithm": "papa", "labels": 16}}
    block = {"task": "digits", "methods": ["base", "mine"], "users": synthetic.USERS, "seeds": [0, 1]}
    few = synthetic.grid(methods=methods, grid={"main": block})
    text = reference.rank(reference.submit(synthetic.long_table(few, 2), few, "mine", folder / "mine.zip"), folder)
    assert list(ranked(text.split("### ")[1])) == ["mine (yours)"] and "16 labels" in text


def test_a_changed_bundle_is_refused(table: pd.DataFrame, grid: Grid, folder: Path) -> None:
    file = reference.submit(table, grid, "papa", folder / "mine.zip")
    with zipfile.ZipFile(file) as of:
        parts = {name: of.read(name).decode() for name in of.namelist()}
    found = pd.read_csv(StringIO(parts[reference.CELLS]))
    found.loc[found.method == "papa", "mean"] += 0.1
    with zipfile.ZipFile(folder / "better.zip", "w") as of:
        for name, text in (parts | {reference.CELLS: found.to_csv(index=False)}).items():
            of.writestr(name, text)
    (folder / "text.zip").write_text("no zip")
    for name in ("better.zip", "text.zip", "nothing.zip"):
        with pytest.raises(RecordError, match=name):
            reference.read_bundle(folder / name)
    with pytest.raises(SettingsError):
        reference.submit(table, grid, "pap", folder / "x.zip")
