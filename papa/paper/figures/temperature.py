"""F5: FKC's inverse temperature, exploitation of its surrogate, and a check with the true preference as reward."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.figures import style
from papa.paper.stats import Estimate

REFERENCE, SETTING = "fkc", "beta_max"
TOLERANCE = 0.07
"""Tolerance of the measured mean preference around the prediction."""
MEASURED, PREDICTED = "preference_measured", "preference_predicted"
JUDGES = {"preference_gold": "gold judge", "preference_held_out": "held-out judge"}
OFFSET = 0.05
"""Horizontal offset of lines in one panel, as a share of β."""
Course = dict[float, Estimate]
"""β -> estimate, by ascending β."""


def swept(table: pd.DataFrame, grid: Grid) -> tuple[str, dict[str, float], list[str]] | None:
    """The first task with a sweep, its methods by β, and the users for whom all of them ran."""
    for task in select.preference_tasks(table):
        points, users = select.swept(table, grid, task, REFERENCE, SETTING)
        if len(points) > 1:
            return task, points, users
    return None


def controls(table: pd.DataFrame, grid: Grid) -> list[tuple[str, str, str, float]]:
    """(task, user, method, β) of the runs with the true preference as reward, by β."""
    rows = table.loc[table.metric == MEASURED, ["task", "user", "method"]].drop_duplicates()
    found = [
        (task, user, method, float(grid.methods[method].settings.model_dump()[SETTING]))
        for task, user, method in rows.itertuples(index=False)
        if method in grid.methods and select.is_control(grid, method)
    ]
    return sorted(found, key=lambda entry: (entry[0], entry[1], entry[3]))


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F5 from the long table: three panels of the sweep and one of the controls, or those that ran."""
    sweep = swept(table, grid)
    panels = [*([_preference, _diversity, _gap] if sweep else []), *([_prediction] if controls(table, grid) else [])]
    if not panels:
        return style.nothing(report.EMPTY)
    rows = -(-len(panels) // 2)
    made = style.figure(style.FULL if len(panels) > 1 else style.COLUMN, 2.4 * rows)
    for index, panel in enumerate(panels):
        ax = made.add_subplot(rows, min(2, len(panels)), index + 1)
        panel(ax, table, grid)
        ax.set_xlabel("inverse temperature β")
        ax.set_title(f"({'abcd'[index]})" if sweep else "", loc="left")
        if ax.get_legend_handles_labels()[1]:
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)  # below the data, not on them
    return made


def _courses(
    table: pd.DataFrame, grid: Grid, metrics: dict[str, str], pool: bool = True, per: str = ""
) -> dict[str, Course]:
    """Metrics along the sweep: by their names pooled over users, or for each user.

    Args:
        table: the long table.
        grid: the grid.
        metrics: metric -> name.
        pool: whether users are pooled.
        per: a setting of each method that the metric is divided by.
    """
    task, points, users = swept(table, grid) or ("", {}, [])
    lines = [(name, metric, users) for metric, name in metrics.items()]
    lines = lines if pool else [(user, metric, [user]) for _, metric, _ in lines for user in users]
    found: dict[str, Course] = {}
    for name, metric, members in lines:
        for method, beta in points.items():
            whole = grid.methods[method].settings.model_dump()[per] if per else 1
            value = select.estimate(select.values(table, task, method, metric, members) / whole, grid)
            if value.n:
                found.setdefault(name, {})[beta] = value
    return found


def _preference(ax: Axes, table: pd.DataFrame, grid: Grid) -> None:
    task, _, users = swept(table, grid) or ("", {}, [])
    courses = _courses(table, grid, JUDGES)
    _lines(ax, {name: {beta: style.share(y) for beta, y in course.items()} for name, course in courses.items()})
    ax.set_ylabel(report.preference_name(grid, task, *users))
    ax.set_ylim(-0.02, 1.02)


def _diversity(ax: Axes, table: pd.DataFrame, grid: Grid) -> None:
    ratios = {"distance_ratio": "pairwise distance (rel.)", "served_nearest_ratio": "NN distance in a batch (rel.)"}
    particles = {"ess": "effective sample size / N", "unique_ancestors": "ancestors / N"}
    _lines(ax, _courses(table, grid, ratios) | _courses(table, grid, particles, per="particles"))
    ax.set_ylabel("diversity (ratio or share)")


def _gap(ax: Axes, table: pd.DataFrame, grid: Grid) -> None:
    _lines(ax, _courses(table, grid, {"surrogate_gap": ""}, pool=False))
    ax.axhline(0, color=style.FAINT, lw=0.8)
    ax.set_ylabel("surrogate reward − preference")


def _lines(ax: Axes, courses: dict[str, Course]) -> None:
    """One line each, with small horizontal offsets."""
    for index, (label, course) in enumerate(courses.items()):
        apart = 1 + OFFSET * (index - (len(courses) - 1) / 2)
        style.series(ax, [beta * apart for beta in course], list(course.values()), label=label, **style.look(index))
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator(sorted({beta for course in courses.values() for beta in course})))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.margins(x=0.1)


@dataclass(frozen=True)
class Check:
    """A control: the predicted and the measured mean preference at a β."""

    task: str
    user: str
    method: str
    beta: float
    predicted: float
    measured: Estimate

    @property
    def holds(self) -> bool:
        """Whether the measured preference is within the tolerance."""
        return abs(self.measured.mean - self.predicted) <= TOLERANCE


def checked(table: pd.DataFrame, grid: Grid) -> list[Check]:
    """Every control with its prediction."""
    found = []
    for task, user, method, beta in controls(table, grid):
        predicted, measured = (
            select.estimate(select.values(table, task, method, metric, [user]), grid)
            for metric in (PREDICTED, MEASURED)
        )
        if predicted.n and measured.n:
            found.append(Check(task, user, method, beta, predicted.mean, measured))
    return found


def _prediction(ax: Axes, table: pd.DataFrame, grid: Grid) -> None:
    """The predicted mean preference as a line with its tolerance, the measured one as points, filled if outside."""
    every = checked(table, grid)
    for index, (task, user) in enumerate(dict.fromkeys((check.task, check.user) for check in every)):
        mine = [check for check in every if (check.task, check.user) == (task, user)]
        look = style.look(index)
        betas, predicted = [check.beta for check in mine], [check.predicted for check in mine]
        ax.plot(betas, predicted, color=look["color"], lw=1, label=f"predicted, {user}")
        low, high = [p - TOLERANCE for p in predicted], [p + TOLERANCE for p in predicted]
        ax.fill_between(betas, low, high, color=look["color"], alpha=0.12, lw=0)
        for holds, label in ((True, f"measured, {user}"), (False, f"outside, {user}")):
            for check in (check for check in mine if check.holds == holds):
                face = "white" if holds else look["color"]
                style.errorbar(ax, check.beta, style.share(check.measured), markerfacecolor=face, label=label, **look)
                label = "_"
    ax.set_ylabel("mean preference")
    ax.margins(x=0.06)
    ax.set_ylim(-0.02, 1.02)


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F5."""
    sweep, every = swept(table, grid), checked(table, grid)
    controlled = controls(table, grid)
    task, points, users = sweep or ("", {}, [])
    tasks = [task] if sweep else list(dict.fromkeys(task for task, *_ in controlled))
    methods = [*points, *dict.fromkeys(method for *_, method, _ in controlled)]
    inside = sum(check.holds for check in every)
    return report.caption(
        "FKC's inverse temperature β",
        "(a) preference, (b) diversity, (c) surrogate reward minus preference." if sweep else "",
        f"{'(d) True' if sweep else 'True'} preference s as reward: measured mean (points) against E[s exp(βs)] / "
        f"E[exp(βs)] (line ± {TOLERANCE}); {inside} of {len(every)} within."
        if every
        else "",
        report.scope(table, grid, tasks, methods, users or list(dict.fromkeys(user for _, user, *_ in controlled))),
    )
