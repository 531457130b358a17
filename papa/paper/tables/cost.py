"""T3: the cost of each method: for its whole budget, per image, and up to a preference of 0.8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from papa.benchmark.grid import Grid
from papa.paper import report, select, stats
from papa.paper.report import MEASURES
from papa.paper.select import LEARNING, LEVEL
from papa.paper.stats import Estimate, Reached
from papa.paper.tables import Made

COSTS = ("labels", "train", "forward", "backward", "frozen", "sample", "amortized_cost_100", "seconds", "peak_memory")
IN_MARKDOWN = ("labels", "train", "forward", "sample", "amortized_cost_100", "seconds", "peak_memory")
UP_TO_LEVEL = ("labels", "train", "forward", "seconds")
"""Costs that are known after every round."""
AXES = ["task", "user", "method", "up_to", "metric", "mean", "lower", "upper", "n_seeds", "reached", "runs", "diverged"]
WHOLE, TO_LEVEL, PAYS = "whole budget", f"preference {LEVEL:g}", "pays off against"


def compared(grid: Grid, task: str) -> list[str]:
    """The methods whose cost is compared: all but the base."""
    return [m for m in select.main_methods(grid, task) if grid.methods[m].declaration.draws != "base"]


def to_level(table: pd.DataFrame, grid: Grid, task: str, method: str, user: str, metric: str) -> Reached:
    """The cost of the runs at their first round at the level.

    A run that never reaches it is censored at its end, a diverged one at the largest cost of another run. If a run has
    no measurement at its round, no run counts: the others would be a selection.
    """
    curves = select.rising(table, grid, task, method, user)
    if not curves:
        return Reached(0, 0, np.nan)
    settings, cost = grid.methods[method].settings, select.curves(table, task, method, metric, user)
    spent, censored = [], []
    for seed, curve in curves.items():
        there = select.first_at(curve, LEVEL)
        at = int(curve.index[-1 if there is None else there])
        if metric == "labels":  # known from the settings at every round
            spent.append(float(min(at * settings.per_round, settings.labels)))
        else:  # before the first round nothing was spent
            spent.append(0.0 if at == 0 else float(cost[seed].get(at, np.nan)) if seed in cost else np.nan)
        censored.append(there is None)
    lost = select.diverged(table, task, method, [user])
    spent, censored = spent + [max(spent)] * lost, censored + [True] * lost
    return stats.reached(spent, censored) if np.isfinite(spent).all() else Reached(0, 0, np.nan)


@dataclass(frozen=True)
class Spent:
    """Evaluations by (user, seed): per image, and of learning."""

    image: pd.Series
    learning: pd.Series


def spent(table: pd.DataFrame, task: str, method: str, user: str) -> Spent:
    """The evaluations of a method for a user."""
    image, *learning = (select.values(table, task, method, metric, [user]) for metric in ("sample", *LEARNING))
    return Spent(image, pd.concat(learning, axis=1).sum(axis=1, skipna=False))


def pays_off(own: Spent, other: Spent, grid: Grid) -> Estimate:
    """The number of generated images from which on a method costs less than another, learning included.

    0 where it is cheaper from the first image on; an empty estimate where it does not save on each image in every run.
    """
    saved = (other.image - own.image).dropna()
    more = (own.learning - other.learning).dropna()
    if not len(saved) or not saved.mean() > 0 or not (saved > 0).all():
        return stats.estimate([])
    return select.estimate((more.clip(lower=0) / saved).dropna(), grid)


def make(table: pd.DataFrame, grid: Grid) -> Made:
    """T3 from the long table."""
    rows, parts = [], []
    for task in select.preference_tasks(table):
        for user in select.users_of(grid, task):
            own = table[(table.task == task) & (table.user == user)]  # every value is looked up many times
            costs = {method: spent(own, task, method, user) for method in compared(grid, task)}
            lines = [row for method in costs for row in _rows(own, grid, task, user, method, costs)]
            rows += lines
            names = report.named(grid, list(costs))
            for up_to, readable in ((WHOLE, _whole), (TO_LEVEL, _level), (PAYS, _pays)):
                chosen = [line for line in lines if line["up_to"] == up_to and (up_to != PAYS or line["mean"] > 0)]
                if chosen:
                    parts.append(f"### {task}: {user}, {up_to}\n\n{readable(chosen, names)}")
    return Made(pd.DataFrame(rows, columns=AXES), "\n".join(parts), _caption(table, grid))


def _rows(table: pd.DataFrame, grid: Grid, task: str, user: str, method: str, costs: dict[str, Spent]) -> list[dict]:
    ran = select.values(table, task, method, select.PREFERENCE, [user])
    lost = select.diverged(table, task, method, [user])
    if ran.empty and not lost:
        return []
    axes = {"task": task, "user": user, "method": method, "runs": len(ran) + lost, "diverged": lost}
    rows = []
    for metric in COSTS:
        whole = select.estimate(select.values(table, task, method, metric, [user]), grid)
        rows.append(axes | {"up_to": WHOLE, "metric": metric, "reached": len(ran)} | report.columns(whole))
    for metric in UP_TO_LEVEL:
        found = to_level(table, grid, task, method, user, metric)
        value = {"mean": found.median, "n_seeds": found.n, "reached": found.count}
        rows.append(axes | {"up_to": TO_LEVEL, "metric": metric} | value)
    for other, theirs in costs.items():
        if (found := pays_off(costs[method], theirs, grid)).n:
            rows.append(axes | {"up_to": PAYS, "metric": other, "reached": len(ran)} | report.columns(found))
    return rows


def _by_method(lines: list[dict]) -> dict[str, dict[str, dict]]:
    found: dict[str, dict[str, dict]] = {}
    for line in lines:
        found.setdefault(line["method"], {})[line["metric"]] = line
    return found


def _whole(lines: list[dict], names: dict[str, str]) -> str:
    shown = [m for m in IN_MARKDOWN if any(np.isfinite(line["mean"]) for line in lines if line["metric"] == m)]
    rows = []
    for method, found in _by_method(lines).items():
        first = next(iter(found.values()))
        lost = f" ({first['diverged']} diverged)" if first["diverged"] else ""
        cells = [report.plus_minus(report.estimate_of(found[m]), MEASURES[m].digits) for m in shown]
        rows.append([names[method] + lost, *cells, str(first["reached"])])
    return report.markdown(["method", *(MEASURES[m].name for m in shown), "runs"], rows)


def _level(lines: list[dict], names: dict[str, str]) -> str:
    rows = []
    for method, found in _by_method(lines).items():
        cells = [report.number(found[metric]["mean"], int(metric == "seconds")) for metric in UP_TO_LEVEL]
        rows.append([names[method], f"{found['labels']['reached']} of {found['labels']['runs']}", *cells])
    return report.markdown(
        ["method", "runs at the level", *(f"{MEASURES[m].name} (median)" for m in UP_TO_LEVEL)], rows
    )


def _pays(lines: list[dict], names: dict[str, str]) -> str:
    rows = [
        [names[line["method"]], names[line["metric"]], report.plus_minus(report.estimate_of(line), 0)] for line in lines
    ]
    return report.markdown(["method", "cheaper than", "from this number of images"], rows, left=2)


def _caption(table: pd.DataFrame, grid: Grid) -> str:
    tasks = select.preference_tasks(table)
    methods = [method for task in tasks for method in compared(grid, task)]
    users = [user for task in tasks for user in select.users_of(grid, task)]
    return report.caption(
        "Cost",
        f"Labels, denoiser evaluations, seconds and memory: for the whole budget; up to a preference of {LEVEL:g} "
        "(Kaplan-Meier median); and the number of images from which on learning pays off.",
        report.scope(table, grid, tasks, methods, users),
    )
