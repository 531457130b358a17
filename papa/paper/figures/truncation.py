"""F4: EPAPA's truncation k against preference and against training evaluations."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.figures import style

REFERENCE, SETTING = "epapa", "frozen_below"
LINES = {"preference_gold": ("gold judge", "-"), "preference_held_out": ("held-out judge", (0, (4, 2)))}


def points(table: pd.DataFrame, grid: Grid, task: str) -> dict[str, float]:
    """Method -> k as a share of T, of the sweep's methods that ran."""
    ran = [m for m in grid.methods if not select.values(table, task, m, "preference_gold").empty]
    return select.sweep(grid, REFERENCE, SETTING, ran).points


def users(table: pd.DataFrame, grid: Grid, task: str) -> list[str]:
    """The users for whom every method of the sweep ran."""
    ran = [
        set(select.values(table, task, m, "preference_gold").index.get_level_values("user"))
        for m in points(table, grid, task)
    ]
    return [user for user in select.users_of(grid, task) if ran and all(user in found for found in ran)]


def swept(table: pd.DataFrame, grid: Grid) -> list[str]:
    """The tasks on which there is a sweep: more than PAPA and EPAPA themselves."""
    return [
        task
        for task in select.preference_tasks(table)
        if len(points(table, grid, task)) > 2 and users(table, grid, task)
    ]


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F4 from the long table."""
    tasks = swept(table, grid)
    if not tasks:
        return style.nothing("No sweep over EPAPA's k ran.")
    drawn = style.figure(style.FULL, 2.3 * len(tasks))
    for row, task in zip(drawn.subplots(len(tasks), 3, squeeze=False), tasks, strict=True):
        _preference(row[0], table, grid, task)
        _against(row[1], table, grid, task, "distance_ratio", "distance / perfect mix's")
        _evaluations(row[2], table, grid, task)
        for ax in row:
            ax.set_xlabel("truncation k, share of T")
            ax.margins(x=0.06)
    return drawn


def _preference(ax: Axes, table: pd.DataFrame, grid: Grid, task: str) -> None:
    sweep, who = points(table, grid, task), users(table, grid, task)
    for metric, (label, dashes) in LINES.items():
        ys = [select.estimate(select.values(table, task, method, metric, who), grid) for method in sweep]
        look = {"color": style.COLOURS["epapa"][0] if dashes != "-" else style.COLOURS["papa"][0], "linestyle": dashes}
        style.line_with_band(ax, list(sweep.values()), ys, marker="o", label=label, **look)
    base = select.estimate(select.values(table, task, select.BASE, "preference_gold", who), grid)
    if base.n:
        ax.axhline(base.mean, color=style.COLOURS["base"][0], linestyle=(0, (1, 1.5)), linewidth=1, label="base")
    ax.set_ylim(0, 1)
    ax.set_ylabel("preference")
    ax.legend(loc="lower left")


def _against(ax: Axes, table: pd.DataFrame, grid: Grid, task: str, metric: str, label: str) -> None:
    sweep, who = points(table, grid, task), users(table, grid, task)
    ys = [select.estimate(select.values(table, task, method, metric, who), grid) for method in sweep]
    style.line_with_band(ax, list(sweep.values()), ys, marker="o", color=style.COLOURS["papa"][0])
    ax.set_ylabel(label)


def _evaluations(ax: Axes, table: pd.DataFrame, grid: Grid, task: str) -> None:
    """Training evaluations and seconds as shares of those at the smallest k, on the same users and seeds."""
    sweep, who = points(table, grid, task), users(table, grid, task)
    first = next(iter(sweep))
    for metric, label, ink in (
        ("train", "training evaluations", style.COLOURS["papa"][0]),
        ("seconds", "seconds", style.FAINT),
    ):
        whole = select.values(table, task, first, metric, who)
        shares = [(select.values(table, task, method, metric, who) / whole).dropna() for method in sweep]
        if all(len(share) for share in shares):
            ys = [select.estimate(share, grid) for share in shares]
            style.line_with_band(ax, list(sweep.values()), ys, marker="o", color=ink, label=label)
    ax.set_ylim(0, None)
    ax.set_ylabel(f"cost / that of {first}")
    ax.legend(loc="lower left")


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F4."""
    tasks = swept(table, grid)
    methods = list(dict.fromkeys(m for task in tasks for m in points(table, grid, task)))
    who = [user for task in tasks for user in users(table, grid, task)]
    return report.paragraph(
        "Truncation: steps below k (share of T) are neither trained nor sampled with the tuned model; k = 0 is PAPA. "
        "Left preference, middle diversity, right the cost relative to the smallest k on the same seeds.",
        f"Methods: {', '.join(methods)}." if methods else "",
        report.quote(table, grid, tasks if methods else [], methods, who),
        report.unit_sentence(grid),
        report.diverged_sentence(table, tasks, methods),
    )
