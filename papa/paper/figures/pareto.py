"""F2: preference against three sorts of diversity, every method and every variant; a row for each user."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.figures import style
from papa.paper.stats import Estimate

Y = "preference_held_out"
COST = "sample"
SWEEPS = {"fkc": "beta_max", "epapa": "frozen_below"}


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F2 from the long table."""
    rows = [(task, user) for task in select.preference_tasks(table) for user in select.users_of(grid, task)]
    if not rows:
        return style.nothing("No run measured preference.")
    drawn = style.figure(style.FULL, 2.1 * len(rows) + 0.5)
    axes = drawn.subplots(len(rows), len(select.DIVERSITY), squeeze=False, sharey="row")
    variants = []
    for line, (task, user) in zip(axes, rows, strict=True):
        for ax, (metric, words) in zip(line, select.DIVERSITY.items(), strict=True):
            variants.append((ax, _panel(ax, table, grid, task, user, metric)))
            ax.set_xlabel(words)
        line[0].set_title(user, loc="left")
        line[0].set_ylabel("preference (held-out judge)")
    style.legend_below(drawn, *axes.flat, columns=5)
    for ax, labels in variants:
        style.direct_labels(ax, labels)
    return drawn


def _panel(ax: Axes, table: pd.DataFrame, grid: Grid, task: str, user: str, metric: str) -> list[style.Label]:
    """One user by one sort of diversity; returns the labels of the variants, which stand in no legend."""
    main = select.main_methods(grid, task)
    points: dict[str, tuple[Estimate, Estimate]] = {}
    for method in [*main, *select.variant_methods(grid, task)]:
        x, y = (select.estimate(select.values(table, task, method, m, [user]), grid) for m in (metric, Y))
        if x.n and y.n:
            points[method] = x, y
    for reference, setting in SWEEPS.items():
        line = [points[m] for m in select.sweep(grid, reference, setting, points).points]
        if len(line) > 2 and reference in points:
            ink = style.colour(grid, reference)
            ax.plot([x.mean for x, _ in line], [y.mean for _, y in line], color=ink, lw=0.7, alpha=0.6)
    for method, (x, y) in points.items():
        ink, is_main = style.colour(grid, method), method in main
        size = 3.2 * _size(table, task, method, user) if is_main else 2.8
        look = {"color": ink, "markerfacecolor": ink if is_main else "white", "markersize": size}
        label = method if is_main else "_"
        style.errorbar(ax, x, y, fmt=style.marker(grid, method), label=label, zorder=4 if is_main else 3, **look)
    if points:
        ax.margins(0.08, 0.08)
        _look_at(ax, [(x.mean, y.mean) for x, y in points.values()])
    else:
        ax.text(0.5, 0.5, "not measured", transform=ax.transAxes, ha="center", color=style.FAINT)
    ax.axvline(1, color=style.FAINT, lw=0.6, linestyle=(0, (1, 1.5)), zorder=1)
    ax.set_ylim(-0.03, 1.03)
    ax.locator_params(nbins=5)
    return [
        style.Label(x, y, _short(grid, method), style.colour(grid, method), 5.2)
        for method, (x, y) in points.items()
        if method not in main
    ]


def _size(table: pd.DataFrame, task: str, method: str, user: str) -> float:
    """Relative size of a marker: 1 at the base's evaluations per image, 1.5 at ten times as many."""
    own, base = (select.values(table, task, m, COST, [user]).mean() for m in (method, select.BASE))
    ratio = own / base if base > 0 else math.nan
    return 1 + 0.5 * math.log10(ratio) if ratio > 1 else 1.0


def _short(grid: Grid, method: str) -> str:
    """A variant's label without the name of its reference."""
    reference = select.reference_of(grid, method)
    return method if reference is None else method.removeprefix(f"{reference}-")


def _look_at(ax: Axes, means: list[tuple[float, float]]) -> None:
    """Limit x to half the range of the means beyond them; wide intervals, of very few seeds, leave the frame."""
    values, limits = [x for x, _ in means], ax.get_xlim()
    room = max(max(values) - min(values), 0.1)
    ax.set_xlim(max(limits[0], min(values) - room / 2), min(limits[1], max(values) + room / 2))


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F2."""
    tasks = select.preference_tasks(table)
    methods = [m for task in tasks for m in (*select.main_methods(grid, task), *select.variant_methods(grid, task))]
    users = [user for task in tasks for user in select.users_of(grid, task)]
    return report.paragraph(
        "Preference (held-out judge) against diversity: of all final samples, of what is liked, and within one "
        f"request of {report.samples(grid, tasks, 'served')} images (distance to the nearest other one). Up and "
        "right is better; at the dotted line is a model that is tilted exactly to the taste. Filled: compared "
        "methods, the larger the more evaluations a served image takes; open and small, with names: their variants, "
        "in their colour; lines join the sweeps of FKC's beta and of EPAPA's k. Wide intervals may leave the frame.",
        report.quote(table, grid, tasks, methods, users),
        report.unit_sentence(grid),
        report.diverged_sentence(table, tasks, methods),
    )
