"""T3: what each method costs, for its whole budget and up to an equal alignment.

Equal alignment, per user: the highest preference that every run of the table reaches in the end. (A
mean would be missed by the weakest method's weaker runs, and leaving those out would flatter it.) A
run's cost up to there is what it had spent at the first round that reached it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from papa.benchmark.grid import Grid
from papa.paper import report, select, stats
from papa.paper.stats import Estimate
from papa.paper.tables import Made

COSTS: dict[str, str] = {
    "labels": "labels",
    "train": "training",
    "forward": "forward",
    "backward": "backward",
    "frozen": "frozen base",
    "sample": "per sample",
    "seconds": "seconds",
    "peak_memory": "memory (MiB)",
}
AXES = [
    "task",
    "user",
    "method",
    "up_to",
    "target",
    "metric",
    "mean",
    "lower",
    "upper",
    "n_seeds",
    "reached",
    "runs",
    "diverged",
]
WHOLE, EQUAL = "whole budget", "equal alignment"


def compared(grid: Grid, task: str) -> list[str]:
    """The methods whose cost is compared: those that align the model or its samples."""
    return [m for m in select.main_methods(grid, task) if grid.methods[m].declaration.draws == "own"]


def target(table: pd.DataFrame, grid: Grid, task: str, user: str) -> float:
    """The highest final preference that every run of the compared methods reaches; NaN if none ran."""
    final = [select.values(table, task, method, "preference_gold", [user]) for method in compared(grid, task)]
    return float(min((found.min() for found in final if not found.empty), default=np.nan))


def spent(table: pd.DataFrame, grid: Grid, task: str, method: str, user: str, metric: str, level: float) -> pd.Series:
    """Cost of each seed at the first round whose preference reaches `level`; NaN where it never does.

    NaN for all seeds where one of them has no measurement at its round: the others would be a selection.

    Returns: indexed by seed.
    """
    preference = select.curves(table, task, method, "preference_gold", user)
    reached = (preference >= level).idxmax().where((preference >= level).any())
    if metric == "labels":  # known from the settings at every round
        settings = grid.methods[method].settings
        return (reached * settings.per_round).clip(upper=settings.labels).astype(float)
    cost = select.curves(table, task, method, metric, user)
    at = {
        seed: cost[seed].get(row, np.nan) if seed in cost and np.isfinite(row) else np.nan
        for seed, row in reached.items()
    }
    found = pd.Series(at, dtype=float).rename_axis("seed")
    complete = found.notna().sum() == reached.notna().sum()
    return found if complete else found * np.nan


def make(table: pd.DataFrame, grid: Grid) -> Made:
    """T3 from the long table."""
    rows, parts = [], []
    for task in select.preference_tasks(table):
        for user in select.users_of(grid, task):
            lines = [row for method in compared(grid, task) for row in _rows(table, grid, task, user, method)]
            rows += lines
            for up_to in (WHOLE, EQUAL):
                if chosen := [line for line in lines if line["up_to"] == up_to]:
                    level = "" if up_to == WHOLE else f" (preference {chosen[0]['target']:.3f})"
                    parts.append(f"### {task}: {user}, {up_to}{level}\n\n{_markdown(chosen)}")
    return Made(pd.DataFrame(rows, columns=AXES), "\n".join(parts), caption(table, grid))


def _rows(table: pd.DataFrame, grid: Grid, task: str, user: str, method: str) -> list[dict]:
    level = target(table, grid, task, user)
    ran = select.values(table, task, method, "preference_gold", [user])
    lost = select.diverged(table, task, method, [user])
    if ran.empty and not lost:
        return []
    rows = []
    for metric in COSTS:
        whole = select.estimate(select.values(table, task, method, metric, [user]), grid)
        equal = spent(table, grid, task, method, user, metric, level)
        found = stats.estimate(equal.dropna().to_numpy(), grid.config.confidence)
        hits = int((select.curves(table, task, method, "preference_gold", user) >= level).any().sum())
        for up_to, value, count in ((WHOLE, whole, len(ran)), (EQUAL, found, hits)):
            axes = {"task": task, "user": user, "method": method, "up_to": up_to, "target": level, "metric": metric}
            rows.append(axes | report.columns(value) | {"reached": count, "runs": len(ran) + lost, "diverged": lost})
    return rows


def _markdown(lines: list[dict]) -> str:
    shown = [m for m in COSTS if any(np.isfinite(line["mean"]) for line in lines if line["metric"] == m)]
    by_method: dict[str, dict[str, dict]] = {}
    for line in lines:
        by_method.setdefault(line["method"], {})[line["metric"]] = line
    rows = []
    for method, found in by_method.items():
        first = next(iter(found.values()))
        digits = {"seconds": 1, "labels": 1}
        cells = [report.plus_minus(_estimate(found[m]), digits.get(m, 0)) for m in shown]
        rows.append([method, *cells, f"{first['reached']} of {first['runs']}", str(first["diverged"])])
    return report.markdown(["method", *(COSTS[m] for m in shown), "runs there", "diverged"], rows)


def _estimate(line: dict) -> Estimate:
    spread = line["upper"] - line["lower"]
    return Estimate(line["mean"], line["lower"], line["upper"], line["n_seeds"], "t" if spread else "constant")


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of T3."""
    tasks = select.preference_tasks(table)
    methods = [method for task in tasks for method in compared(grid, task)]
    users = [user for task in tasks for user in select.users_of(grid, task)]
    return report.paragraph(
        "Cost: labels, denoiser evaluations while learning (training: backward, the forward that it needs, and the "
        "frozen base; forward: all of them, drawing what is shown included), forward ones per returned sample, and "
        "seconds of a run, for its whole budget and up to the first round of equal alignment, "
        "the highest preference that every run of the table reaches in the end. The per-round preference "
        "comes from fewer samples than the final one, so a first crossing is somewhat early.",
        report.quote(table, grid, tasks, methods, users),
        f"Per round: {report.samples(grid, tasks, 'per_round')} samples.",
        report.unit_sentence(grid),
        report.diverged_sentence(table, tasks, methods),
    )
