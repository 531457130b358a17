"""F2: preference against diversity, every method and every variant.

Users for whom the variants ran get a wide panel, the others share a row.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.figures import style
from papa.paper.stats import Estimate

Y = "preference_held_out"
SWEEPS = {"fkc": "beta_max", "epapa": "frozen_below"}


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F2 from the long table."""
    panels = [(task, user) for task in select.preference_tasks(table) for user in select.users_of(grid, task)]
    if not panels:
        return style.nothing("No run measured preference.")
    wide = [panel for panel in panels if _has_variants(table, grid, *panel)]
    narrow = [panel for panel in panels if panel not in wide]
    per_row = 3 if len(narrow) % 3 == 0 else 2
    rows = [[panel] for panel in wide] + [narrow[i : i + per_row] for i in range(0, len(narrow), per_row)]
    heights = [3.6] * len(wide) + [2.4] * (len(rows) - len(wide))
    drawn = style.figure(style.FULL, sum(heights))
    pending = []
    for part, row in zip(drawn.subfigures(len(rows), 1, height_ratios=heights, squeeze=False).flat, rows, strict=True):
        for ax, (task, user) in zip(part.subplots(1, len(row), squeeze=False).flat, row, strict=True):
            pending.append((ax, _panel(ax, table, grid, task, user)))
    for ax, labels in pending:
        style.direct_labels(ax, labels)
    return drawn


def _has_variants(table: pd.DataFrame, grid: Grid, task: str, user: str) -> bool:
    ran = set(table.loc[(table.task == task) & (table.user == user), "method"])
    return bool(ran & set(select.variant_methods(grid, task)))


def _panel(ax: Axes, table: pd.DataFrame, grid: Grid, task: str, user: str) -> list[style.Label]:
    main = select.main_methods(grid, task)
    points: dict[str, tuple[Estimate, Estimate]] = {}
    for method in [*main, *select.variant_methods(grid, task)]:
        metrics = (select.diversity_of(grid, task)[0], Y)
        x, y = (select.estimate(select.values(table, task, method, metric, [user]), grid) for metric in metrics)
        if x.n and y.n:
            points[method] = x, y
    for reference, setting in SWEEPS.items():
        line = [points[m] for m in select.sweep(grid, reference, setting, points).points]
        if len(line) > 2 and reference in points:
            ax.plot(
                [x.mean for x, _ in line],
                [y.mean for _, y in line],
                color=style.colour(grid, reference),
                lw=0.7,
                alpha=0.6,
            )
    labels = []
    for method, (x, y) in points.items():
        ink, is_main = style.colour(grid, method), method in main
        fill = ink if is_main else "white"
        look = {
            "color": ink,
            "markerfacecolor": fill,
            "markersize": 5.5 if is_main else 3.5,
            "zorder": 4 if is_main else 3,
        }
        style.errorbar(ax, x, y, fmt=style.marker(grid, method), **look)
        words = _short(grid, method) + _particles(table, grid, task, method, user)
        labels.append(style.Label(x, y, words, ink, 7 if is_main else 5.8))
    ax.set_title(user)
    ax.set_xlabel(select.diversity_of(grid, task)[1])
    ax.set_ylabel("preference (held-out judge)")
    ax.margins(0.08, 0.08)
    if points:
        _look_at(ax, [(x.mean, y.mean) for x, y in points.values()])
    else:
        ax.text(0.5, 0.5, "not measured", transform=ax.transAxes, ha="center", color=style.FAINT)
    ax.locator_params(nbins=5)
    return labels


def _particles(table: pd.DataFrame, grid: Grid, task: str, method: str, user: str) -> str:
    """ " (effective sample size / ancestors)" of a particle method."""
    names = ("ess", "unique_ancestors")
    found = [select.estimate(select.values(table, task, method, name, [user]), grid) for name in names]
    return f" ({found[0].mean:.0f}/{found[1].mean:.0f})" if all(value.n for value in found) else ""


def _look_at(ax: Axes, means: list[tuple[float, float]]) -> None:
    """Limits no further from the means than their own range: intervals of very few seeds leave the frame."""
    for values, limits, to in zip(zip(*means, strict=True), (ax.get_xlim(), ax.get_ylim()), "xy", strict=True):
        low, high = min(values), max(values)
        room = max(high - low, 0.1)
        ax.set(**{f"{to}lim": (max(limits[0], low - room / 2), min(limits[1], high + room / 2))})


def _short(grid: Grid, method: str) -> str:
    """A variant's label without the name of its reference."""
    reference = select.reference_of(grid, method)
    is_main = any(method in select.main_methods(grid, block.task) for block in grid.config.grid.values())
    return method if reference is None or is_main else method.removeprefix(f"{reference}-")


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F2."""
    tasks = select.preference_tasks(table)
    methods = [m for task in tasks for m in (*select.main_methods(grid, task), *select.variant_methods(grid, task))]
    users = [user for task in tasks for user in select.users_of(grid, task)]
    words = dict.fromkeys(select.diversity_of(grid, task)[1] for task in tasks)
    return report.paragraph(
        f"Preference (held-out judge) against diversity ({'; '.join(words)}): up and right is better. Filled: compared "
        "methods; open: their variants, in their colour; lines join the sweeps of FKC's beta and of EPAPA's k. In "
        "brackets, for particle methods: effective sample size of the final populations' last weights / starts that "
        "any of their particles descends from. Wide intervals may leave the frame.",
        report.quote(table, grid, tasks, methods, users),
        report.unit_sentence(grid),
        report.diverged_sentence(table, tasks, methods),
    )
