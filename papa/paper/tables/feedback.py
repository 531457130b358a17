"""T5: preference by the number of labels, and by the form and the noise of the answers."""

from __future__ import annotations

import pandas as pd

from papa.benchmark.grid import Grid
from papa.paper import report
from papa.paper.feedback import NAMES, Line, caption, grouped, value_name
from papa.paper.tables import Made

AXES = ["task", "user", "method", "by", "value", "of", "mean", "lower", "upper", "n_seeds"]


def make(table: pd.DataFrame, grid: Grid) -> Made:
    """T5 from the long table."""
    groups = grouped(table, grid)
    rows = [
        {"task": of.task, "user": of.user, "method": of.method, "by": of.by, "value": value, "of": label}
        | report.columns(estimate)
        for lines in groups.values()
        for of in lines
        for value, (label, estimate) in of.points.items()
    ]
    parts = [f"### {task}: {user}, by {NAMES[by]}\n\n{_markdown(by, of)}" for (task, user, by), of in groups.items()]
    return Made(pd.DataFrame(rows, columns=AXES), "\n".join(parts), caption(table, grid))


def _markdown(by: str, lines: list[Line]) -> str:
    values = sorted({value for line in lines for value in line.points})
    rows = [
        [line.method, *(report.plus_minus(line.points[v][1]) if v in line.points else report.NOTHING for v in values)]
        for line in lines
    ]
    return report.markdown(["method", *(value_name(by, value) for value in values)], rows)
