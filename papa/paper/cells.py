"""The means of an experiment, a cell for each task, user, method and measure: what two experiments are compared by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from papa.benchmark.grid import Grid
from papa.errors import RecordError
from papa.paper import report, select

AXES = ["task", "user", "method", "metric"]
COLUMNS = [*AXES, "labels", "mean", "deviation", "seeds"]
COMPARED: dict[str, str] = {
    "preference_gold": "preference (gold)",
    "preference_held_out": "held-out",
    "distance_ratio": "distance / mix's",
    "liked_distance_ratio": "distance within liked / base's",
    "served_nearest_ratio": "request: nearest / mix's",
    "fid_preferred": "FID to preferred",
    "sample": "evaluations / image",
    "amortized_cost_100": "with learning, of 100",
}
"""The measures, and their words."""


def cells(table: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """The cells of a long table: `mean` and `deviation` (n - 1) over seeds, and how many there are.

    Runs that diverged are left out, controls as well.
    """
    found = select.finished(select.check(table))
    found = found[found.metric.isin(list(COMPARED)) & found.method.isin(list(grid.methods))]
    found = found[~found.method.isin([method for method in grid.methods if select.is_control(grid, method)])]
    of = found.groupby(AXES, sort=True).value
    made = pd.DataFrame({"mean": of.mean(), "deviation": of.std(ddof=1), "seeds": of.count()}).reset_index()
    made["labels"] = [grid.methods[method].settings.labels for method in made.method]
    return made[COLUMNS]


def write(found: pd.DataFrame, file: Path) -> Path:
    """Write cells as CSV."""
    return report.write_csv(file, found)


def read(file: Path, remedy: str) -> pd.DataFrame:
    """Read cells.

    Args:    remedy: what to do where the file is not there, or is none.
    Raises:  RecordError that names the file.
    """
    try:
        found = pd.read_csv(file)
    except (OSError, ValueError) as error:  # pandas' errors of parsing are ValueErrors
        raise RecordError(f"{file} cannot be read ({error}). {remedy}") from None
    if missing := [column for column in COLUMNS if column not in found.columns]:
        raise RecordError(f"{file} lacks the columns {', '.join(missing)}. {remedy}")
    numbers = found[["mean", "deviation", "seeds", "labels"]]
    if not all(np.issubdtype(kind, np.number) for kind in numbers.dtypes):
        raise RecordError(f"{file} holds something else than numbers. {remedy}")
    return found
