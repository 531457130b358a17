"""F1: preference against the number of labels, one panel per user, and the final preference beside it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from papa.benchmark.grid import BASE, Grid
from papa.paper import report, select
from papa.paper.figures import style
from papa.paper.select import PREFERENCE

STEP = 0.045
"""Width of a method in the strip of final values, as a share of the curves' width."""


def panels(table: pd.DataFrame, grid: Grid) -> list[tuple[str, str, list[str]]]:
    """(task, user, methods): the compared methods that ran."""
    found = []
    for task in select.preference_tasks(table):
        for user in select.users_of(grid, task):
            ran = set(table.loc[(table.task == task) & (table.user == user) & (table.metric == PREFERENCE), "method"])
            found.append((task, user, [method for method in select.main_methods(grid, task) if method in ran]))
    return found


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F1 from the long table."""
    shown, looks = panels(table, grid), style.looks(grid)
    columns = min(len(shown), 3)
    rows = -(-len(shown) // columns)
    made = style.figure(max(style.COLUMN, style.FULL * columns / 3), 2.1 * rows)
    axes = made.subplots(rows, columns, sharey=True, squeeze=False)
    for ax, (task, user, methods) in zip(axes.flat, shown, strict=False):
        for method in methods:
            _curve(ax, table, grid, task, user, method, looks[method])
        _final(ax, table, grid, task, user, looks)
        ax.set_title(user)
        ax.set_xlabel("labels")
        ax.set_ylim(-0.02, 1.02)
        if ax in axes[:, 0] or select.is_graded(grid, task, user):
            ax.set_ylabel(f"{report.preference_name(grid, task, user)} (gold judge)")
    for ax in axes.flat[len(shown) :]:
        ax.set_visible(False)
    style.legend_below(made, axes.flat, 5 if columns > 1 else 3)
    return made


def _curve(ax: Axes, table: pd.DataFrame, grid: Grid, task: str, user: str, method: str, look: style.Look) -> None:
    """Means after each round, all of equally many samples; the base, which does not learn, as a level."""
    if method == BASE:
        level = select.values(table, task, method, PREFERENCE, [user]).mean()
        ax.axhline(level, color=look["color"], linestyle=(0, (4, 2)), linewidth=1, label=method)
        return
    found = select.curves(table[table.stage == "round"], task, method, PREFERENCE, user).mean(axis=1).dropna()
    settings = grid.methods[method].settings
    labels = np.minimum(found.index.to_numpy(dtype=float) * settings.per_round, settings.labels)
    every = max(1, len(found) // 5)
    ax.plot(labels, found.to_numpy(), markevery=every, label=method, markersize=3.2, linewidth=1.0, **look)


def _final(ax: Axes, table: pd.DataFrame, grid: Grid, task: str, user: str, looks: dict[str, style.Look]) -> None:
    """The final, larger samples with their intervals, in a strip right of the curves."""
    ran = set(table[table.task == task].method)
    methods = [method for method in select.main_methods(grid, task) if method in ran]
    budget = max((grid.methods[method].settings.labels for method in methods if method != BASE), default=1)
    start, end = budget * (1 + STEP), budget * (1 + STEP * (len(methods) + 2))
    for place, method in enumerate(methods, 1):
        found = select.estimate(select.values(table, task, method, PREFERENCE, [user]), grid)
        if found.n:
            style.errorbar(ax, start + place * STEP * budget, style.share(found), markersize=3.6, **looks[method])
    ax.axvspan(start, end, color=style.FAINT, alpha=0.13, lw=0, zorder=0)
    ax.set_xlim(-0.02 * budget, end)
    ticks = MaxNLocator(4, integer=True, steps=[1, 2, 4, 5, 10]).tick_values(0, budget)
    ax.set_xticks([tick for tick in ticks if 0 <= tick <= budget])
    ax.text((start + end) / 2, -0.045, "final", transform=ax.get_xaxis_transform(), ha="center", va="top", fontsize=7)


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F1."""
    shown = panels(table, grid)
    tasks = list(dict.fromkeys(task for task, _, _ in shown))
    methods = [method for method in select.ordered(grid) if any(method in ran for *_, ran in shown)]
    return report.caption(
        "Preference against labels",
        f"Lines: means over seeds after every round, {report.samples(grid, tasks, 'per_round')} samples each. Grey "
        "strip: final samples with intervals, in the order of the legend. Dashed: base.",
        report.offline_sentence(grid, methods),
        report.scope(table, grid, tasks, methods, [user for _, user, _ in shown]),
    )
