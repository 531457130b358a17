"""F2: preference against three sorts of diversity: a row for each user, then one for the variants of the methods."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.figures import style
from papa.paper.stats import Estimate

JUDGES = {"preference_held_out": "held-out judge", "preference_gold": "gold judge"}
"""Who says what is liked: the first who was asked. A user of strokes has no other judge than the gold one."""
COST = "sample"
SWEEPS = {"fkc": "beta_max", "epapa": "frozen_below"}
ROW, PAGE = 1.75, 8.4
"""Height of a row in inches, and of all of them together at the most."""
CROWD = 12
"""Numbers in one row of panels that can still be told apart."""
Points = dict[str, tuple[Estimate, Estimate]]
"""Method -> (diversity, preference)."""


@dataclass(frozen=True)
class Row:
    """A row of panels: what is drawn for these users. numbers: variant -> its number; none in a row of one user."""

    task: str
    users: list[str]
    methods: list[str]
    numbers: dict[str, int] = field(default_factory=dict)


def rows(table: pd.DataFrame, grid: Grid) -> list[Row]:
    """The compared methods for each user; then the variants beside their references, for the users they ran for."""
    tasks = select.preference_tasks(table)
    found = [
        Row(task, [user], select.main_methods(grid, task)) for task in tasks for user in select.users_of(grid, task)
    ]
    count = 0
    for task in tasks:
        groups: dict[tuple[str, ...], list[str]] = {}
        for method in select.variant_methods(grid, task):
            ran = set(table.loc[(table.task == task) & (table.method == method), "user"])
            if users := tuple(user for user in select.users_of(grid, task) if user in ran):
                groups.setdefault(users, []).append(method)
        for users, together in groups.items():
            for variants in _apart(grid, together):
                shown = {*variants, *(select.reference_of(grid, method) for method in variants)}
                numbers = {method: count + place for place, method in enumerate(variants, 1)}
                found.append(Row(task, list(users), [m for m in select.ordered(grid) if m in shown], numbers))
                count += len(variants)
    return found


def _apart(grid: Grid, variants: list[str]) -> list[list[str]]:
    """The variants of a row, or of a row for each reference where one would be crowded."""
    if len(variants) <= CROWD:
        return [variants]
    families: dict[str | None, list[str]] = {}
    for method in variants:
        families.setdefault(select.reference_of(grid, method), []).append(method)
    return list(families.values())


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F2 from the long table."""
    shown = rows(table, grid)
    if not shown:
        return style.nothing("No run measured preference.")
    heights = [1.35 if row.numbers else 1.0 for row in shown]  # numbers take room
    drawn = style.figure(style.FULL, min(ROW * sum(heights), PAGE) + 0.6)
    axes = drawn.subplots(len(shown), len(select.DIVERSITY), squeeze=False, sharey="row", height_ratios=heights)
    keys = {f"{number} {name}": _key(grid, name) for row in shown for name, number in row.numbers.items()}
    notes = []
    for metric, column in zip(select.DIVERSITY, axes.T, strict=True):
        points = [_points(table, grid, row, metric) for row in shown]
        for row, ax, mine in zip(shown, column, points, strict=True):
            users = [p for other, p in zip(shown, points, strict=True) if not other.numbers]
            alike = [mine] if row.numbers else users
            _panel(ax, table, grid, row, mine, _limits([x for p in alike for x, _ in p.values()]))
            notes.append((ax, _labels(grid, row, mine)))
    for row, line in zip(shown, axes, strict=True):
        line[0].set_title(_title(grid, row), loc="left")
        line[0].set_ylabel(f"{report.liked(grid, row.task, *row.users)}\n({JUDGES[_judge(table, row)]})")
        for ax, words in zip(line, select.DIVERSITY.values(), strict=True):
            ax.set_xlabel(words if row is shown[-1] or bool(row.numbers) != bool(_next(shown, row).numbers) else "")
    style.legend_below(drawn, *axes.flat, columns=4 if keys else 5, order=select.ordered(grid), more=keys)
    for ax, labels in notes:
        style.direct_labels(ax, labels)
    return drawn


def _title(grid: Grid, row: Row) -> str:
    if not row.numbers:
        return row.users[0]
    of = {select.reference_of(grid, method) for method in row.numbers}
    return f"variants{f' of {of.pop()}' if len(of) == 1 else ''} ({', '.join(row.users)})"


def _next(shown: list[Row], row: Row) -> Row:
    return shown[min(shown.index(row) + 1, len(shown) - 1)]


def _judge(table: pd.DataFrame, row: Row) -> str:
    """The measure of the first judge who was asked about these users."""
    mine = table[(table.task == row.task) & table.user.isin(row.users)]
    return next((metric for metric in JUDGES if (mine.metric == metric).any()), next(iter(JUDGES)))


def _points(table: pd.DataFrame, grid: Grid, row: Row, metric: str) -> Points:
    """The methods that have both measures. A user for whom a method did not run does not change the others' mix."""
    judge, found = _judge(table, row), {}
    for method in row.methods:
        x, y = (
            select.estimate(select.values(table, row.task, method, name, row.users), grid, row.users)
            for name in (metric, judge)
        )
        if x.n and y.n:
            found[method] = x, style.share(y)
    return found


def _limits(found: list[Estimate]) -> tuple[float, float] | None:
    """All means, and their intervals up to half the range of the means beyond them: those of few seeds are wide."""
    if not found:
        return None
    means = [x.mean for x in found] + [1.0]
    room = max(max(means) - min(means), 0.1) / 2
    ends = [end for x in found for end in (x.lower, x.upper) if math.isfinite(end)] + means
    return max(min(ends), min(means) - room) - room / 10, min(max(ends), max(means) + room) + room / 10


def _panel(
    ax: Axes, table: pd.DataFrame, grid: Grid, row: Row, points: Points, limits: tuple[float, float] | None
) -> None:
    for reference, setting in SWEEPS.items() if row.numbers else ():
        line = [points[m] for m in select.sweep(grid, reference, setting, points).points]
        if len(line) > 2 and reference in points:
            ink = style.colour(grid, reference)
            ax.plot([x.mean for x, _ in line], [y.mean for _, y in line], color=ink, lw=0.7, alpha=0.6)
    for method, (x, y) in points.items():
        ink, variant = style.colour(grid, method), method in row.numbers
        size = 2.8 if variant else 3.2 * _size(table, row, method)
        look = {"color": ink, "markerfacecolor": "white" if variant else ink, "markersize": size}
        label = "_" if variant else method
        style.errorbar(ax, x, y, fmt=style.marker(grid, method), label=label, zorder=3 if variant else 4, **look)
        for end, out, at in _ends(x, limits):
            if out:
                ax.plot([at], [y.mean], marker=end, color=ink, markersize=3, alpha=0.6, clip_on=False, linestyle="none")
    if not points:
        ax.text(0.5, 0.5, "not measured", transform=ax.transAxes, ha="center", color=style.FAINT)
    ax.axvline(1, color=style.FAINT, lw=0.6, linestyle=(0, (1, 1.5)), zorder=1)
    if limits:
        ax.set_xlim(limits)
    lowest = min((y.mean for _, y in points.values()), default=0.0)
    ax.set_ylim(max(0.0, math.floor(10 * lowest - 0.5) / 10) - 0.03 if row.numbers else -0.03, 1.03)
    ax.locator_params(nbins=5)


def _ends(x: Estimate, limits: tuple[float, float] | None) -> list[tuple[str, bool, float]]:
    """(arrow, whether the interval goes on behind this side of the frame, the side)."""
    low, high = limits or (-math.inf, math.inf)
    return [("<", x.lower < low, low), (">", x.upper > high, high)]


def _size(table: pd.DataFrame, row: Row, method: str) -> float:
    """Relative size of a marker: 1 at the base's evaluations per image, 1.5 at ten times as many."""
    own, base = (select.values(table, row.task, m, COST, row.users).mean() for m in (method, select.BASE))
    ratio = own / base if base > 0 else math.nan
    return 1 + 0.5 * math.log10(ratio) if ratio > 1 else 1.0


def _labels(grid: Grid, row: Row, points: Points) -> list[style.Label]:
    """The numbers of the variants, for their places in a panel."""
    return [
        style.Label(*points[method], str(number), style.colour(grid, method), 6)
        for method, number in row.numbers.items()
        if method in points
    ]


def _key(grid: Grid, method: str) -> Line2D:
    """A variant in the legend."""
    ink, mark = style.colour(grid, method), style.marker(grid, method)
    return Line2D([], [], linestyle="none", marker=mark, color=ink, markerfacecolor="white", markersize=3.2)


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F2."""
    shown = rows(table, grid)
    tasks = list(dict.fromkeys(row.task for row in shown))
    methods = [method for method in select.ordered(grid) if any(method in row.methods for row in shown)]
    variants = (
        "The last row, or rows, have, open and numbered as in the legend, the variants of the methods that stand "
        "filled beside them, pooled over the users named there; they have ranges of their own, and lines join the "
        "sweeps of FKC's beta and of EPAPA's k."
    )
    return report.paragraph(
        "Preference (held-out judge) against diversity: of all final samples, of what is liked, and within one "
        f"request of {report.samples(grid, tasks, 'served')} images (distance to the nearest other one). Up and "
        "right is better; at the dotted line is a model that is tilted exactly to the taste. A row for each user, "
        "with one range for all in a column; a marker is the larger the more evaluations a served image takes. "
        "Intervals of preference are cut at 0 and 1; an arrow at the frame is on an interval that goes on behind it.",
        variants if any(row.numbers for row in shown) else "",
        report.graded_sentence(grid, tasks),
        report.quote(table, grid, tasks, methods, list(dict.fromkeys(user for row in shown for user in row.users))),
        report.unit_sentence(grid),
        report.diverged_sentence(table, tasks, methods),
    )
