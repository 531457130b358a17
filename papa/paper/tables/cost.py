"""T3: what each method costs: for its whole budget, for each served image, and up to a preference of 0.8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from papa.benchmark.grid import Grid
from papa.paper import report, select, stats
from papa.paper.curve import first_at, rising
from papa.paper.served import LEARNING, LEVEL
from papa.paper.stats import Estimate, Reached
from papa.paper.tables import Made

COSTS: dict[str, str] = {
    "labels": "labels",
    "train": "training",
    "forward": "forward",
    "backward": "backward",
    "frozen": "frozen base",
    "sample": "per image",
    "amortized_cost_100": "with learning, of 100",
    "seconds": "seconds",
    "peak_memory": "memory (MiB)",
}
IN_MARKDOWN = ("labels", "train", "forward", "sample", "amortized_cost_100", "seconds", "peak_memory")
UP_TO_LEVEL = ("labels", "train", "forward", "seconds")
"""What is known after every round."""
AXES = [
    "task",
    "user",
    "method",
    "up_to",
    "metric",
    "mean",
    "lower",
    "upper",
    "n_seeds",
    "reached",
    "runs",
    "diverged",
]
WHOLE, TO_LEVEL, PAYS = "whole budget", f"preference {LEVEL:g}", "pays off against"


def compared(grid: Grid, task: str) -> list[str]:
    """The methods whose cost is compared: all but the base."""
    return [m for m in select.main_methods(grid, task) if grid.methods[m].declaration.draws != "base"]


def to_level(table: pd.DataFrame, grid: Grid, task: str, method: str, user: str, metric: str) -> Reached:
    """What the runs had spent at their first round at the level; a run that never gets there is censored at its end,
    one that diverged at the most that another run spent.

    If a run has no measurement at its round, no run counts: the others would be a selection.
    """
    curves = rising(table, grid, task, method, user)
    if not curves:
        return Reached(0, 0, np.nan)
    settings, cost = grid.methods[method].settings, select.curves(table, task, method, metric, user)
    spent, censored = [], []
    for seed, curve in curves.items():
        there = first_at(curve, LEVEL)
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
    """Evaluations by (user, seed): of one image, and of learning."""

    image: pd.Series
    learning: pd.Series


def spent(table: pd.DataFrame, task: str, method: str, user: str) -> Spent:
    """What a method spends."""
    image, *learning = (select.values(table, task, method, metric, [user]) for metric in ("sample", *LEARNING))
    return Spent(image, pd.concat(learning, axis=1).sum(axis=1, skipna=False))


def pays_off(own: Spent, other: Spent, grid: Grid) -> Estimate:
    """The number of served images from which on a method costs less than another, learning included.

    0 where it does from the first one on; an empty estimate where it does not save on each image in every run."""
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
    return Made(pd.DataFrame(rows, columns=AXES), "\n".join(parts), caption(table, grid))


def _rows(table: pd.DataFrame, grid: Grid, task: str, user: str, method: str, costs: dict[str, Spent]) -> list[dict]:
    ran = select.values(table, task, method, "preference_gold", [user])
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
        first, digits = next(iter(found.values())), {"seconds": 1, "labels": 1, "sample": 1, "amortized_cost_100": 1}
        lost = f" ({first['diverged']} diverged)" if first["diverged"] else ""
        cells = [report.plus_minus(_estimate(found[m]), digits.get(m, 0)) for m in shown]
        rows.append([names[method] + lost, *cells, str(first["reached"])])
    return report.markdown(["method", *(COSTS[m] for m in shown), "runs"], rows)


def _level(lines: list[dict], names: dict[str, str]) -> str:
    rows = []
    for method, found in _by_method(lines).items():
        cells = [report.number(found[metric]["mean"], int(metric == "seconds")) for metric in UP_TO_LEVEL]
        rows.append([names[method], f"{found['labels']['reached']} of {found['labels']['runs']}", *cells])
    return report.markdown(["method", "runs there", *(f"{COSTS[m]} (median)" for m in UP_TO_LEVEL)], rows)


def _pays(lines: list[dict], names: dict[str, str]) -> str:
    rows = [[names[line["method"]], names[line["metric"]], report.plus_minus(_estimate(line), 0)] for line in lines]
    return report.markdown(["method", "against", "from so many served images"], rows, left=2)


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
        "frozen base; forward: all of them, drawing what is shown included) and for each served image, alone and "
        f"with what learning took spread over 100, and seconds of a run by the clock, on a machine that may have "
        "done other things beside. Then what it took to reach a "
        f"preference of {LEVEL:g}: how many runs got there, and the median over all of them (Kaplan and Meier; runs "
        "that did not get there are censored at their end; a dash where fewer than half did), by the curve over the "
        "rounds that does not fall, since a round's preference comes from few samples. Last, from how many served "
        "images on a method that learns more costs less in all than one that pays more for each image (the CSV has 0 "
        "where it does at once).",
        report.quote(table, grid, tasks, methods, users),
        f"Per round: {report.samples(grid, tasks, 'per_round')} samples.",
        report.unit_sentence(grid),
        report.diverged_sentence(table, tasks, methods),
    )
