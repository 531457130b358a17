"""F4: EPAPA's truncation k against preference, diversity and training evaluations."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from papa.benchmark.grid import BASE, Grid
from papa.paper import report, select
from papa.paper.figures import style
from papa.paper.select import LEARNING, PREFERENCE

REFERENCE, SETTING = "epapa", "frozen_below"
LINES = {PREFERENCE: "gold judge", "preference_held_out": "held-out judge"}
COSTS = {("train",): "training", LEARNING: "all of learning"}
"""Measures that are summed -> label. Evaluations are counted; seconds depend on the load of the machine."""
OFFSET = 0.008
"""Horizontal offset of two judges at one k."""


def swept(table: pd.DataFrame, grid: Grid) -> dict[str, tuple[dict[str, float], list[str]]]:
    """Task -> method -> k as a share of T, and the users for whom all ran; only sweeps beyond PAPA and EPAPA."""
    found = {task: select.swept(table, grid, task, REFERENCE, SETTING) for task in select.preference_tasks(table)}
    return {task: (points, users) for task, (points, users) in found.items() if len(points) > 2 and users}


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F4 from the long table."""
    tasks = swept(table, grid)
    if not tasks:
        return style.nothing(report.EMPTY)
    made = style.figure(style.FULL, 2.3 * len(tasks))
    rows = made.subplots(len(tasks), 3, squeeze=False)
    for row, (task, (points, users)) in zip(rows, tasks.items(), strict=True):
        _preference(row[0], table, grid, task, points, users)
        _diversity(row[1], table, grid, task, points, users)
        _evaluations(row[2], table, grid, task, points, users)
        row[0].set_title(f"{task}: {', '.join(users)}", loc="left")
        for ax in row:
            ax.set_xlabel("truncation k (share of T)")
            ax.xaxis.set_major_locator(FixedLocator(list(points.values())))
            ax.margins(x=0.08)
    return made


def _preference(
    ax: Axes, table: pd.DataFrame, grid: Grid, task: str, points: dict[str, float], users: list[str]
) -> None:
    for index, (metric, label) in enumerate(LINES.items()):
        ys = {
            k + (2 * index - 1) * OFFSET: select.estimate(select.values(table, task, method, metric, users), grid)
            for method, k in points.items()
        }
        if kept := {k: style.share(y) for k, y in ys.items() if y.n}:
            style.series(ax, list(kept), list(kept.values()), label=label, **style.look(index))
    base = select.estimate(select.values(table, task, BASE, PREFERENCE, users), grid)
    if base.n:
        ax.axhline(base.mean, color=style.FAINT, linestyle=(0, (1, 1.5)), linewidth=1, label="base")
    ax.set_ylim(-0.02, 1.02)
    ax.set_ylabel(report.preference_name(grid, task, *users))
    ax.legend(loc="lower left")


def _diversity(
    ax: Axes, table: pd.DataFrame, grid: Grid, task: str, points: dict[str, float], users: list[str]
) -> None:
    ys = {k: select.estimate(select.values(table, task, m, "distance_ratio", users), grid) for m, k in points.items()}
    kept = {k: y for k, y in ys.items() if y.n}
    style.series(ax, list(kept), list(kept.values()), **style.look(0))
    ax.axhline(1, color=style.FAINT, lw=0.6, linestyle=(0, (1, 1.5)), zorder=1)
    ax.set_ylabel(report.name_of("distance_ratio").replace(" (", "\n("))


def _evaluations(
    ax: Axes, table: pd.DataFrame, grid: Grid, task: str, points: dict[str, float], users: list[str]
) -> None:
    """Denoiser evaluations as shares of those at the smallest k, on the same users and seeds."""
    first = next(iter(points))
    for index, (metrics, label) in enumerate(COSTS.items()):
        spent = {m: pd.concat([select.values(table, task, m, of, users) for of in metrics], axis=1) for m in points}
        sums = {method: counts.sum(axis=1, skipna=False) for method, counts in spent.items()}
        shares = [(values / sums[first]).dropna() for values in sums.values()]
        if all(len(share) for share in shares):
            ys = [select.estimate(share, grid) for share in shares]
            style.series(ax, list(points.values()), ys, label=label, **style.look(index))
    ax.set_ylim(0, 1.1)
    ax.set_ylabel(f"evaluations (rel. to {first})")
    ax.legend(loc="lower left")


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F4."""
    tasks = swept(table, grid)
    methods = list(dict.fromkeys(method for points, _ in tasks.values() for method in points))
    return report.caption(
        "EPAPA's truncation k",
        "Steps below k are neither trained nor sampled with the tuned model; k = 0 is PAPA. Preference, diversity "
        "(dotted: oracle mixture) and evaluations of learning relative to the smallest k.",
        report.scope(table, grid, list(tasks), methods, [user for _, users in tasks.values() for user in users]),
    )
