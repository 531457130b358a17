"""T5: preference by the number of labels, and by the form and the noise of the answers."""

from __future__ import annotations

import pandas as pd

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.feedback import SAID, Line, lines, value_said
from papa.paper.tables import Made

AXES = ["task", "user", "method", "by", "value", "of", "mean", "lower", "upper", "n_seeds"]
NOTHING = (
    "Nothing of this ran. The configuration varies neither the number of labels nor the answers, as "
    "config/feedback.yaml does.\n"
)


def make(table: pd.DataFrame, grid: Grid) -> Made:
    """T5 from the long table."""
    found = list(lines(table, grid))
    rows = [
        {"task": of.task, "user": of.user, "method": of.method, "by": of.by, "value": value, "of": label}
        | report.columns(estimate)
        for of in found
        for value, (label, estimate) in of.points.items()
    ]
    groups: dict[tuple[str, str, str], list[Line]] = {}
    for of in found:
        groups.setdefault((of.task, of.user, of.by), []).append(of)
    parts = [f"### {task}: {user}, by {SAID[by]}\n\n{_markdown(by, of)}" for (task, user, by), of in groups.items()]
    return Made(pd.DataFrame(rows, columns=AXES), "\n".join(parts), caption(table, grid))


def _markdown(by: str, of: list[Line]) -> str:
    values = sorted({value for line in of for value in line.points})
    rows = [
        [line.method, *(report.plus_minus(line.points[v][1]) if v in line.points else report.NOTHING for v in values)]
        for line in of
    ]
    return report.markdown(["method", *(value_said(by, value) for value in values)], rows)


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of T5."""
    if not (found := list(lines(table, grid))):
        return NOTHING
    tasks = list(dict.fromkeys(of.task for of in found))
    named = [label for of in found if of.by == "labels" for label, _ in of.points.values()]
    methods = [method for method in select.ordered(grid) if method in {*named, *(of.method for of in found)}]
    return report.paragraph(
        "Preference (gold, by the taste itself) when all labels are spent, by how many there are, and by the form "
        "and the noise of the answers that a method learns from. Methods with other numbers of labels differ in "
        "nothing else.",
        report.quote(table, grid, tasks, methods, list(dict.fromkeys(of.user for of in found))),
        report.unit_sentence(grid),
    )
