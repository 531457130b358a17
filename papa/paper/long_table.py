"""The long table: every measured value of some runs, one row each."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from papa.benchmark.grid import Grid
from papa.benchmark.runs.record import is_finished, read_record, read_scores
from papa.benchmark.specs import RunSpec
from papa.files import replacing

COLUMNS = ["task", "method", "algorithm", "user", "seed", "round", "stage", "metric", "value", "unit"]


def table_path(grid: Grid) -> Path:
    """The place of the long table of a configuration."""
    return Path(grid.config.results) / "runs.parquet"


def gather(specs: Collection[RunSpec], available: bool = False) -> pd.DataFrame:
    """The long table of these runs, sorted, from the values beside their records.

    Args:
        specs: the runs.
        available: leave out runs that are not finished, and say how many.

    Returns:
        A table with `COLUMNS`; `attrs["about"]` names commits and processors.

    Raises:
        RecordError: for a run that is missing, damaged, of other settings, or not measured.
    """
    chosen = [spec for spec in specs if not available or is_finished(spec)]
    frames, commits, processors = [], set(), set()
    for spec in chosen:
        machine = read_record(spec.folder, spec.key).meta.machine
        commits.add(short(machine.commit))
        processors.add(machine.gpu or machine.processor)
        axes = {name: getattr(spec, name) for name in ("task", "method", "algorithm", "user", "seed")}
        frames.append(pd.DataFrame(read_scores(spec)).assign(**axes))
    table = pd.concat(frames, ignore_index=True)[COLUMNS] if frames else pd.DataFrame(columns=COLUMNS)
    table = table.astype({"seed": int, "round": int, "value": float})
    table = table.sort_values(COLUMNS[:-2], kind="stable", ignore_index=True)
    if chosen:
        table.attrs["about"] = f"Runs of commit {', '.join(sorted(commits))} on {', '.join(sorted(processors))}."
        if missing := len(specs) - len(chosen):
            table.attrs["about"] += f" {missing} of {len(specs)} runs are missing."
    return table


def short(commit: str | None) -> str:
    """The first ten digits of a commit, with the `+` of a changed tree."""
    return "unknown" if commit is None else commit[:10] + ("+" if commit.endswith("+") else "")


def collect(grid: Grid) -> Path:
    """Verify every file of every run of the grid and write the long table.

    Raises:
        RecordError: as `gather` does.
    """
    for spec in grid:
        read_record(spec.folder, spec.key).verify()
    with replacing(table_path(grid)) as temporary:
        gather(list(grid)).to_parquet(temporary, index=False)
    return table_path(grid)


def read_table(grid: Grid) -> pd.DataFrame:
    """The long table of all runs of a grid, as `gather`."""
    return gather(list(grid))
