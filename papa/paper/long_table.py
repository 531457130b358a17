"""The long table: every figure of every run of the grid, one row each."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from papa.benchmark.grid import Grid
from papa.benchmark.runs.record import verify
from papa.benchmark.runs.scores import read_scores, score_key
from papa.errors import RecordError

COLUMNS = ["task", "method", "algorithm", "user", "seed", "round", "stage", "metric", "value", "unit"]


def table_path(grid: Grid) -> Path:
    """Where the long table of a configuration lies."""
    return Path(grid.config.results) / "runs.parquet"


def collect(grid: Grid) -> Path:
    """Verify every run of the grid and write the long table, sorted, atomically.

    Raises:  RecordError for a run that is missing, damaged, of other settings, or not scored.
    """
    frames = []
    for spec in grid:
        verify(spec.folder, spec.key)
        key = score_key(spec.key, grid.pool(spec.task, spec.seed).key, spec.config.measures)
        rows = read_scores(spec.folder, key)
        if rows is None:
            raise RecordError(f"the run in {spec.folder} has no up-to-date figures; run `papa score` for it.")
        axes = {
            "task": spec.task,
            "method": spec.method,
            "algorithm": spec.algorithm,
            "user": spec.user,
            "seed": spec.seed,
        }
        frames.append(pd.DataFrame(rows).assign(**axes))
    table = pd.concat(frames, ignore_index=True)[COLUMNS]
    table = table.sort_values(COLUMNS[:-2], kind="stable", ignore_index=True)
    path = table_path(grid)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    table.to_parquet(temporary)
    temporary.replace(path)
    return path


def read_table(grid: Grid) -> pd.DataFrame:
    """The long table.

    Raises:  RecordError if it is missing or damaged.
    """
    path = table_path(grid)
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise RecordError(f"there is no long table {path}; run `papa collect` first.") from None
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} cannot be read ({error}); delete it and run `papa collect` again.") from error
