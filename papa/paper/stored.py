"""Stored samples for figures, read through their records.

Samples that were made with other settings than the grid's are refused.
"""

from __future__ import annotations

import numpy as np

from papa.benchmark.grid import BASE, Grid
from papa.benchmark.runs.record import read_record


def samples(grid: Grid, task: str, method: str, user: str, seed: int) -> np.ndarray | None:
    """The final samples of a run, or the base samples of its seed; None where the grid has no such run or it diverged.

    Raises:  RecordError for a record that is missing, damaged or of other settings.
    """
    spec = grid.specs.get((task, method, user, seed))
    if method == BASE:
        of = next((run.base for run in grid if run.task == task and run.seed == seed), None)
        return None if of is None else read_record(of.folder, of.key).arrays()["images"]
    return None if spec is None else read_record(spec.folder, spec.key).arrays().get("final")
