"""F1: preference against the labels that it took, one panel per user, and beside it where each method ends."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.figures import style

METRIC = "preference_gold"
STEP = 0.045
"""Width that a method has beside the curves, as a share of theirs."""


def panels(table: pd.DataFrame, grid: Grid) -> list[tuple[str, str, list[str]]]:
    """(task, user, methods): the compared methods that ran."""
    found = []
    for task in select.preference_tasks(table):
        for user in select.users_of(grid, task):
            ran = set(table.loc[(table.task == task) & (table.user == user) & (table.metric == METRIC), "method"])
            found.append((task, user, [method for method in select.main_methods(grid, task) if method in ran]))
    return found


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F1 from the long table."""
    shown = panels(table, grid)
    if not shown:
        return style.nothing("No run measured preference.")
    columns = min(len(shown), 3)
    rows = -(-len(shown) // columns)
    drawn = style.figure(max(style.COLUMN, style.FULL * columns / 3), 2.1 * rows + 0.5)
    axes = drawn.subplots(rows, columns, sharey=True, squeeze=False)
    for ax, (task, user, methods) in zip(axes.flat, shown, strict=False):
        for method in methods:
            _curve(ax, table, grid, task, user, method)
        _ends(ax, table, grid, task, user)
        ax.set_title(user)
        ax.set_xlabel("labels")
        ax.set_ylim(-0.02, 1.02)
        if ax in axes[:, 0] or select.is_graded(grid, task, user):
            ax.set_ylabel(f"{report.liked(grid, task, user)} (gold judge)")
    for ax in axes.flat[len(shown) :]:
        ax.set_visible(False)
    style.legend_below(drawn, *axes.flat, columns=5 if columns > 1 else 3, order=select.ordered(grid))
    return drawn


def _curve(ax: Axes, table: pd.DataFrame, grid: Grid, task: str, user: str, method: str) -> None:
    """The means after each round, all of equally many samples; the base, which does not learn, as a level."""
    ink = style.colour(grid, method)
    if method == select.BASE:
        level = select.values(table, task, method, METRIC, [user]).mean()
        ax.axhline(level, color=ink, linestyle=(0, (4, 2)), linewidth=1, label=method)
        return
    found = select.curves(table[table.stage == "round"], task, method, METRIC, user).mean(axis=1).dropna()
    settings = grid.methods[method].settings
    labels = np.minimum(found.index.to_numpy(dtype=float) * settings.per_round, settings.labels)
    look = {"color": ink, "marker": style.marker(grid, method), "markersize": 3.2, "linewidth": 1.0}
    ax.plot(labels, found.to_numpy(), markevery=max(1, len(found) // 5), label=method, **look)


def _ends(ax: Axes, table: pd.DataFrame, grid: Grid, task: str, user: str) -> None:
    """The final, larger samples with their intervals, on a strip of their own right of the curves."""
    places = [
        method for method in select.main_methods(grid, task) if (table[table.task == task].method == method).any()
    ]
    budget = max((grid.methods[method].settings.labels for method in places if method != select.BASE), default=1)
    start = budget * (1 + STEP)
    for place, method in enumerate(places, 1):
        found = select.estimate(select.values(table, task, method, METRIC, [user]), grid)
        ink = style.colour(grid, method)
        if found.n:
            look = {"color": ink, "fmt": style.marker(grid, method), "markersize": 3.6}
            style.errorbar(ax, start + place * STEP * budget, style.share(found), **look)
    end = start + (len(places) + 1) * STEP * budget
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
    return report.paragraph(
        "Preference against labels: the share of samples that the judge behind the labels (gold) counts as liked. "
        f"Lines: means over seeds after every round, of {report.samples(grid, tasks, 'per_round')} samples a run; the "
        "intervals of so few samples would cover each other and are left out. The grey strip at the right has what "
        "counts: the final samples, of which there are more, with their intervals, methods in the order of the "
        "legend. The dashed line is the base model. Intervals are cut at 0 and 1.",
        report.graded_sentence(grid, tasks),
        report.quote(table, grid, tasks, methods, [user for _, user, _ in shown]),
        report.unit_sentence(grid),
        report.diverged_sentence(table, tasks, methods),
    )
