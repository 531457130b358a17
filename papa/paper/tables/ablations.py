"""T4: every ablation beside its reference method, with the paired difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.report import MEASURES
from papa.paper.tables import Made

SHOWN = (
    "preference_gold",
    "preference_held_out",
    *report.DIVERSITY,
    "entropy",
    "fid_preferred",
    "ess",
    "unique_ancestors",
    "train",
)
IN_MARKDOWN = ("preference_gold", "distance_ratio", "served_nearest_ratio", "fid_preferred", "ess", "unique_ancestors")
WITH_DIFFERENCE = ("preference_gold", "distance_ratio", "served_nearest_ratio")
AXES = ["task", "reference", "method", "change", "metric", "users", "mean", "lower", "upper", "n_seeds"]
AXES += ["difference", "difference_lower", "difference_upper", "difference_seeds", "diverged", "runs"]


def make(table: pd.DataFrame, grid: Grid) -> Made:
    """T4 from the long table."""
    rows, parts = [], []
    for task in select.preference_tasks(table):
        for reference, variants in _families(table, grid, task).items():
            methods = [reference, *variants]
            lines = [line for method in methods for line in _rows(table, grid, task, method, reference, variants)]
            rows += lines
            parts.append(f"### {task}: {reference}\n\n{_markdown(lines)}")
    frame = pd.DataFrame(rows, columns=AXES)
    tasks, methods = list(frame.task.unique()), list(frame.method.unique())
    users = sorted({user for named in frame.users.unique() for user in named.split()})
    caption = report.caption(
        "Ablations",
        "Each row changes the named settings only. Δ: paired difference to the reference on the same users and seeds. "
        "ESS, ancestors: of the final particles.",
        report.scope(table, grid, tasks, methods, users),
    )
    return Made(frame, "\n".join(parts), caption)


def _families(table: pd.DataFrame, grid: Grid, task: str) -> dict[str, list[str]]:
    """Reference -> its ablations, where both ran."""
    ran = set(table.loc[table.task == task, "method"])
    families: dict[str, list[str]] = {}
    for method in select.variant_methods(grid, task):
        reference = select.reference_of(grid, method)
        if method in ran and reference in ran:
            families.setdefault(str(reference), []).append(method)
    return families


def _rows(
    table: pd.DataFrame, grid: Grid, task: str, method: str, reference: str, variants: list[str]
) -> list[dict[str, Any]]:
    """One row per metric; the reference is averaged over the users of its ablations."""
    mine = table[(table.task == task) & table.method.isin(variants if method == reference else [method])]
    users = [user for user in select.users_of(grid, task) if user in set(mine.user)]
    change = "(reference)" if method == reference else select.spelled(select.changes(grid, method, reference))
    axes = {"task": task, "reference": reference, "method": method, "change": change, "users": " ".join(users)}
    axes |= {
        "diverged": select.diverged(table, task, method, users),
        "runs": select.runs(table, task, method, users),
    }
    rows = []
    for metric in SHOWN:
        found = select.values(table, task, method, metric, users)
        against = select.values(table, task, reference, metric, users)
        difference = select.difference(found, against.iloc[:0] if method == reference else against, grid)
        estimate = report.columns(select.estimate(found, grid))
        rows.append(axes | {"metric": metric} | estimate | report.columns(difference, "difference"))
    return rows


def _markdown(lines: list[dict]) -> str:
    measured = {line["metric"] for line in lines if np.isfinite(line["mean"])}
    metrics = [metric for metric in IN_MARKDOWN if metric in measured]
    by_method: dict[str, dict[str, dict]] = {}
    for line in lines:
        by_method.setdefault(line["method"], {})[line["metric"]] = line
    heads = [
        name for metric in metrics for name in [MEASURES[metric].name, *(["Δ"] if metric in WITH_DIFFERENCE else [])]
    ]
    rows = []
    for method, found in by_method.items():
        cells = []
        for metric in metrics:
            line, digits = found[metric], MEASURES[metric].digits
            cells.append(report.plus_minus(report.estimate_of(line), digits))
            if metric in WITH_DIFFERENCE:
                names = {"mean": "difference", "n_seeds": "difference_seeds"}
                paired = {
                    key: line[names.get(key, f"difference_{key}")] for key in ("mean", "lower", "upper", "n_seeds")
                }
                cells.append(report.signed(report.estimate_of(paired), digits))
        first = next(iter(found.values()))
        lost = f"{first['diverged']} of {first['runs']}" if first["diverged"] else "0"
        rows.append([method, first["change"], *cells, str(first["n_seeds"]), lost])
    return report.markdown(["method", "change", *heads, "seeds", "diverged"], rows, left=2)
