"""T4: every variant beside its reference method, with the paired difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.stats import Estimate
from papa.paper.tables import Made

# Metric -> (heading, decimals).
SHOWN: dict[str, tuple[str, int]] = {
    "preference_gold": ("preference", 3),
    "preference_held_out": ("held-out", 3),
    "distance_ratio": ("distance / mix's", 3),
    "liked_distance_ratio": ("within liked / base's", 3),
    "served_nearest_ratio": ("request: nearest / mix's", 3),
    "entropy": ("entropy", 3),
    "fid_preferred": ("FID to preferred", 2),
    "ess": ("ESS", 1),
    "unique_ancestors": ("ancestors", 1),
    "train": ("training evaluations", 0),
}
IN_MARKDOWN = ("preference_gold", "distance_ratio", "served_nearest_ratio", "fid_preferred", "ess", "unique_ancestors")
WITH_DIFFERENCE = ("preference_gold", "distance_ratio", "served_nearest_ratio")
AXES = ["task", "reference", "method", "change", "metric"]
NUMBERS = [
    "mean",
    "lower",
    "upper",
    "n_seeds",
    "difference",
    "difference_lower",
    "difference_upper",
    "difference_seeds",
]


def make(table: pd.DataFrame, grid: Grid) -> Made:
    """T4 from the long table."""
    rows, parts = [], []
    for task in select.preference_tasks(table):
        for reference, variants in _families(table, grid, task).items():
            lines = [
                line
                for method in [reference, *variants]
                for line in _rows(table, grid, task, method, reference, variants)
            ]
            rows += lines
            parts.append(f"### {task}: {reference}\n\n{_markdown(lines)}")
    frame = pd.DataFrame(rows, columns=[*AXES, "users", *NUMBERS, "diverged", "runs"])
    return Made(frame, "\n".join(parts), caption(table, grid))


def _families(table: pd.DataFrame, grid: Grid, task: str) -> dict[str, list[str]]:
    """Reference -> its variants that ran; without the reference there is nothing to compare them with."""
    ran = set(table.loc[table.task == task, "method"])
    families: dict[str, list[str]] = {}
    for method in select.variant_methods(grid, task):
        reference = select.reference_of(grid, method)
        if method in ran and reference is not None and reference in ran:
            families.setdefault(reference, []).append(method)
    return families


def _rows(
    table: pd.DataFrame, grid: Grid, task: str, method: str, reference: str, variants: list[str]
) -> list[dict[str, Any]]:
    """One row per metric. The reference is shown over the users that its variants ran for."""
    mine = table[(table.task == task) & table.method.isin(variants if method == reference else [method])]
    users = [user for user in select.users_of(grid, task) if user in set(mine.user)]
    change = "(reference)" if method == reference else select.spelled(select.changes(grid, method, reference))
    counts = {
        "diverged": select.diverged(table, task, method, users),
        "runs": select.runs(table, task, method, users),
    }
    rows = []
    for metric in SHOWN:
        found = select.values(table, task, method, metric, users)
        against = select.values(table, task, reference, metric, users)
        if method == reference:
            against = against.iloc[:0]
        rows.append(
            {"task": task, "reference": reference, "method": method, "change": change, "metric": metric}
            | {"users": " ".join(users)}
            | report.columns(select.estimate(found, grid))
            | report.columns(select.difference(found, against, grid), "difference")
            | counts
        )
    return rows


def _markdown(lines: list[dict]) -> str:
    by_method: dict[str, list[dict]] = {}
    for line in lines:
        by_method.setdefault(line["method"], []).append(line)
    measured = {line["metric"] for line in lines if np.isfinite(line["mean"])}
    metrics = [metric for metric in IN_MARKDOWN if metric in measured]
    rows = []
    for method, found in by_method.items():
        cells = []
        for line in (line for line in found if line["metric"] in metrics):
            digits = SHOWN[line["metric"]][1]
            cells.append(report.plus_minus(_back(line, "mean", "", "n_seeds"), digits))
            if line["metric"] in WITH_DIFFERENCE:
                cells.append(report.signed(_back(line, "difference", "difference_", "difference_seeds"), digits))
        lost = f"{found[0]['diverged']} of {found[0]['runs']}" if found[0]["diverged"] else "0"
        rows.append([method, found[0]["change"], *cells, str(found[0]["n_seeds"]), lost])
    heads: list[str] = []
    for metric in metrics:
        heads.append(SHOWN[metric][0])
        if metric in WITH_DIFFERENCE:
            heads.append("Δ")
    return report.markdown(["method", "change", *heads, "seeds", "diverged"], rows, left=2)


def _back(line: dict, mean: str, prefix: str, seeds: str) -> Estimate:
    return Estimate(line[mean], line[f"{prefix}lower"], line[f"{prefix}upper"], line[seeds], "t")


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of T4."""
    tasks = select.preference_tasks(table)
    families = {task: _families(table, grid, task) for task in tasks}
    methods = [
        m for found in families.values() for reference, variants in found.items() for m in (reference, *variants)
    ]
    variants = {v for found in families.values() for group in found.values() for v in group}
    users = sorted(set(table.loc[table.method.isin(variants), "user"]))
    return report.paragraph(
        "Ablations: each row changes the settings named there and nothing else; Δ is the paired difference to the "
        "reference method on the same users and seeds, [lower, upper]. Distances, of all final samples and to the "
        "nearest image of one request, are over those of a mix of base samples at the same preference. ESS: effective "
        "sample size of the last weights of particle methods' final populations; ancestors: starts that their samples "
        "descend from.",
        report.quote(table, grid, tasks if methods else [], methods, users),
        report.unit_sentence(grid),
        report.diverged_sentence(table, tasks, methods),
    )
