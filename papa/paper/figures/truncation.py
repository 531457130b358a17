"""F4: EPAPA's truncation k against preference and against training evaluations."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.figures import style

REFERENCE, SETTING = "epapa", "frozen_below"
LINES = {
    "preference_gold": ("gold judge", style.COLOURS["papa"][0], "o"),
    "preference_held_out": ("held-out judge", style.COLOURS["epapa"][0], "D"),
}
"""Measure -> label, colour and marker."""
COSTS = {
    ("train",): ("training", style.COLOURS["papa"][0], "o"),
    ("forward", "backward", "frozen"): ("all of learning", style.FAINT, "s"),
}
"""Measures that are summed -> label, colour and marker. Evaluations are counted; seconds depend on what else ran."""
SHIFT = 0.008
"""Two judges of one k stand this far left and right of it."""


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
        row[0].set_title(f"{task}: {', '.join(users(table, grid, task))}", loc="left")
        for ax in row:
            ax.set_xlabel("truncation k (share of T)")
            ax.xaxis.set_major_locator(FixedLocator(list(points(table, grid, task).values())))
            ax.margins(x=0.08)
    return drawn


def _preference(ax: Axes, table: pd.DataFrame, grid: Grid, task: str) -> None:
    sweep, who = points(table, grid, task), users(table, grid, task)
    for side, (metric, (label, ink, mark)) in zip((-1, 1), LINES.items(), strict=True):
        ys = {
            k + side * SHIFT: style.share(select.estimate(select.values(table, task, method, metric, who), grid))
            for method, k in sweep.items()
        }
        kept = {k: y for k, y in ys.items() if y.n}
        if kept:
            style.series(ax, list(kept), list(kept.values()), marker=mark, color=ink, label=label)
    base = select.estimate(select.values(table, task, select.BASE, "preference_gold", who), grid)
    if base.n:
        ax.axhline(base.mean, color=style.COLOURS["base"][0], linestyle=(0, (1, 1.5)), linewidth=1, label="base")
    ax.set_ylim(-0.02, 1.02)
    ax.set_ylabel(report.liked(grid, task, *who))
    ax.legend(loc="lower left")


def _against(ax: Axes, table: pd.DataFrame, grid: Grid, task: str, metric: str, label: str) -> None:
    sweep, who = points(table, grid, task), users(table, grid, task)
    ys = {k: select.estimate(select.values(table, task, method, metric, who), grid) for method, k in sweep.items()}
    kept = {k: y for k, y in ys.items() if y.n}
    style.series(ax, list(kept), list(kept.values()), marker="o", color=style.COLOURS["papa"][0])
    ax.axhline(1, color=style.FAINT, lw=0.6, linestyle=(0, (1, 1.5)), zorder=1)
    ax.set_ylabel(label)


def _evaluations(ax: Axes, table: pd.DataFrame, grid: Grid, task: str) -> None:
    """Denoiser evaluations as shares of those at the smallest k, on the same users and seeds."""
    sweep, who = points(table, grid, task), users(table, grid, task)
    first = next(iter(sweep))
    for metrics, (label, ink, mark) in COSTS.items():
        spent = {m: pd.concat([select.values(table, task, m, of, who) for of in metrics], axis=1) for m in sweep}
        sums = {method: counts.sum(axis=1, skipna=False) for method, counts in spent.items()}
        shares = [(values / sums[first]).dropna() for values in sums.values()]
        if all(len(share) for share in shares):
            ys = [select.estimate(share, grid) for share in shares]
            style.series(ax, list(sweep.values()), ys, marker=mark, color=ink, label=label)
    ax.set_ylim(0, 1.1)
    ax.set_ylabel(f"evaluations / those of {first}")
    ax.legend(loc="lower left")


def strata_sentence(grid: Grid, sweep: dict[str, float]) -> str:
    """How many timesteps an item is trained at, which is what the evaluations follow."""
    asked = {method: grid.methods[method].settings.model_dump()["timesteps"] for method in sweep}
    if any(isinstance(count, str) for count in asked.values()):
        return ""
    counts = [max(1, round(count * (1 - sweep[method]))) for method, count in asked.items()]
    return (
        "The timesteps that are left to train are parted into strata as wide as PAPA's, rounded to a whole number of "
        f"them ({', '.join(f'{count} at k = {k:g}' for count, k in zip(counts, sweep.values(), strict=True))}), and an "
        "item is trained once in each: values of k with the same number cost the same."
    )


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F4."""
    tasks = swept(table, grid)
    methods = list(dict.fromkeys(m for task in tasks for m in points(table, grid, task)))
    who = [user for task in tasks for user in users(table, grid, task)]
    return report.paragraph(
        "Truncation: steps below k (share of T) are neither trained nor sampled with the tuned model; k = 0 is PAPA. "
        "Left preference, middle the mean distance of two samples (at the dotted line is a perfect mix), right "
        "denoiser evaluations while learning, relative to the smallest k on the same seeds: of training alone, and "
        "with what the samples that are shown take. They are counted; seconds would tell what else ran on the machine.",
        strata_sentence(grid, points(table, grid, tasks[0])) if tasks else "",
        f"Methods: {', '.join(methods)}." if methods else "",
        report.quote(table, grid, tasks if methods else [], methods, who),
        report.unit_sentence(grid),
        report.diverged_sentence(table, tasks, methods),
    )
