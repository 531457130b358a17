"""F5: FKC's inverse temperature, how far its surrogate is exploited, and a check with the true preference as reward."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.figures import style
from papa.paper.stats import Estimate

REFERENCE, SETTING = "fkc", "beta_max"
TOLERANCE = 0.07
"""How far the measured mean preference may lie from the prediction."""
MEASURED, PREDICTED = "preference_measured", "preference_predicted"
JUDGES = {"preference_gold": "gold judge", "preference_held_out": "held-out judge"}
INKS = [*style.COLOURS["fkc"], style.INK, style.FAINT, *style.SPARE]
MARKS = ["v", "s", "o", "D", "^", "P", "X", "<"]
APART = 0.05
"""How far lines of one panel stand apart, as a share of β."""
Course = dict[float, Estimate]
"""β -> estimate, by ascending β."""


def points(table: pd.DataFrame, grid: Grid, task: str) -> dict[str, float]:
    """Method -> beta, of the sweep's methods that ran on a task, the true preference left out."""
    ran = set(table.loc[(table.metric == "preference_gold") & (table.task == task), "method"])
    return select.sweep(grid, REFERENCE, SETTING, ran).points


def controls(table: pd.DataFrame, grid: Grid) -> list[tuple[str, str, str, float]]:
    """(task, user, method, beta) of the runs that were handed the true preference, by beta."""
    rows = table.loc[table.metric == MEASURED, ["task", "user", "method"]].drop_duplicates()
    found = [
        (task, user, method, float(grid.methods[method].settings.model_dump()[SETTING]))
        for task, user, method in rows.itertuples(index=False)
        if method in grid.methods and select.is_control(grid, method)
    ]
    return sorted(found, key=lambda entry: (entry[0], entry[1], entry[3]))


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F5 from the long table: three panels of the sweep and one of the controls, or what there is of them."""
    tasks = _swept_tasks(table, grid)[:1]
    panels = [*([_preference, _kept, _gap] if tasks else []), *([_prediction] if controls(table, grid) else [])]
    if not panels:
        return style.nothing("No sweep over FKC's beta and no control with the true preference ran.")
    rows = -(-len(panels) // 2)
    drawn = style.figure(style.FULL if len(panels) > 1 else style.COLUMN, 2.4 * rows)
    for index, panel in enumerate(panels):
        ax = drawn.add_subplot(rows, min(2, len(panels)), index + 1)
        panel(ax, table, grid)
        ax.set_xlabel("inverse temperature β")
        ax.set_title("abcd"[index] if tasks else "", loc="left")
        if ax.get_legend_handles_labels()[1]:
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)  # below the data, not on them
    return drawn


def _swept_tasks(table: pd.DataFrame, grid: Grid) -> list[str]:
    """The tasks on which there is a sweep."""
    return [task for task in select.preference_tasks(table) if len(points(table, grid, task)) > 1]


def _preference(ax: Axes, table: pd.DataFrame, grid: Grid) -> None:
    task = _swept_tasks(table, grid)[0]
    who = users(table, grid, task)
    judged = {label: _swept(table, grid, task, metric, who) for metric, label in JUDGES.items()}
    _lines(ax, {of: {beta: style.share(y) for beta, y in course.items()} for of, course in judged.items()})
    ax.set_ylabel(report.liked(grid, task, *who))
    ax.set_ylim(-0.02, 1.02)


def _kept(ax: Axes, table: pd.DataFrame, grid: Grid) -> None:
    task = _swept_tasks(table, grid)[0]
    _lines(ax, _diversity(table, grid, task, users(table, grid, task)))
    ax.set_ylabel("diversity (ratio or share)")


def _gap(ax: Axes, table: pd.DataFrame, grid: Grid) -> None:
    task = _swept_tasks(table, grid)[0]
    _lines(ax, {user: _swept(table, grid, task, "surrogate_gap", [user]) for user in users(table, grid, task)})
    ax.axhline(0, color=style.FAINT, lw=0.8)
    ax.set_ylabel("surrogate reward − preference")


def users(table: pd.DataFrame, grid: Grid, task: str) -> list[str]:
    """The users for whom every method of the sweep ran."""
    ran = [
        set(select.values(table, task, m, "preference_gold").index.get_level_values("user"))
        for m in points(table, grid, task)
    ]
    return [user for user in select.users_of(grid, task) if all(user in found for found in ran)]


def _swept(table: pd.DataFrame, grid: Grid, task: str, metric: str, who: list[str], per: str = "") -> Course:
    """A metric along the sweep; `per`: as a share of this setting of each method."""
    found = {}
    for method, beta in points(table, grid, task).items():
        whole = grid.methods[method].settings.model_dump()[per] if per else 1
        found[beta] = select.estimate(select.values(table, task, method, metric, who) / whole, grid)
    return {beta: value for beta, value in found.items() if value.n}


def _diversity(table: pd.DataFrame, grid: Grid, task: str, who: list[str]) -> dict[str, Course]:
    """Of what is drawn, and what is left of the particles that it is drawn from."""
    return {
        "distance / perfect mix's": _swept(table, grid, task, "distance_ratio", who),
        "nearest / perfect mix's": _swept(table, grid, task, "served_nearest_ratio", who),
        "effective sample size / N": _swept(table, grid, task, "ess", who, per="particles"),
        "ancestors / N": _swept(table, grid, task, "unique_ancestors", who, per="particles"),
    }


def _lines(ax: Axes, courses: dict[str, Course]) -> None:
    """One line each, side by side where they would cover each other."""
    for index, (label, course) in enumerate(courses.items()):
        if course:
            apart = 1 + APART * (index - (len(courses) - 1) / 2)
            look = {"color": INKS[index % len(INKS)], "marker": MARKS[index % len(MARKS)], "label": label}
            style.series(ax, [beta * apart for beta in course], list(course.values()), **look)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator(sorted({beta for course in courses.values() for beta in course})))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(style.no_ticks())
    ax.margins(x=0.1)


@dataclass(frozen=True)
class Check:
    """A control: the mean preference that was predicted and that was measured at a β."""

    task: str
    user: str
    method: str
    beta: float
    predicted: float
    measured: Estimate

    @property
    def holds(self) -> bool:
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
    """Predicted mean preference as a line with its tolerance, the measured one as points, filled if outside."""
    every = checked(table, grid)
    for index, (task, user) in enumerate(dict.fromkeys((check.task, check.user) for check in every)):
        mine = [check for check in every if (check.task, check.user) == (task, user)]
        ink, mark = INKS[index % len(INKS)], MARKS[index % len(MARKS)]
        betas, predicted = [check.beta for check in mine], [check.predicted for check in mine]
        ax.plot(betas, predicted, color=ink, lw=1, label=f"predicted, {user}")
        low, high = [p - TOLERANCE for p in predicted], [p + TOLERANCE for p in predicted]
        ax.fill_between(betas, low, high, color=ink, alpha=0.12, lw=0)
        for holds, label in ((True, f"measured, {user}"), (False, f"outside, {user}")):
            for check in (check for check in mine if check.holds == holds):
                look = {"color": ink, "markerfacecolor": "white" if holds else ink, "label": label}
                style.errorbar(ax, check.beta, style.share(check.measured), fmt=mark, **look)
                label = "_"
    ax.set_ylabel("mean preference")
    ax.margins(x=0.06)
    ax.set_ylim(-0.02, 1.02)
    if not every:
        ax.text(0.5, 0.5, "no control ran", transform=ax.transAxes, ha="center", color=style.FAINT)


def check_sentence(table: pd.DataFrame, grid: Grid) -> str:
    """How many controls lie within the tolerance, and by how much the others miss it."""
    every = checked(table, grid)
    missed = [check for check in every if not check.holds]
    if not every:
        return ""
    named = ", ".join(f"{c.measured.mean - c.predicted:+.2f} for {c.user} at β = {c.beta:g}" for c in missed)
    said = f"{len(every) - len(missed)} of {len(every)} measured points lie within the tolerance"
    return f"{said}; outside, and filled, are {named}." if missed else f"{said}."


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F5."""
    tasks, checks = _swept_tasks(table, grid)[:1], controls(table, grid)
    sweep = points(table, grid, tasks[0]) if tasks else {}
    who = [user for task in tasks for user in users(table, grid, task)]
    handed = list(dict.fromkeys(method for _, _, method, _ in checks))
    where = list(dict.fromkeys(task for task, _, _, _ in checks))
    base = report.samples(grid, where, "base")
    swept = (
        "FKC's inverse temperature β (the last round's and the final samples'); values of β are joined where there "
        "are three or more, and what would cover each other stands side by side. (a) preference; (b) diversity (mean "
        "distance of two images, and within one request to the nearest one, both over a perfect mix's), effective "
        "sample size (of the last weights) and distinct ancestors of the final populations as shares of their N "
        "particles; (c) what the surrogate gives the final samples less what the user does, all with the surrogate "
        "reward."
    )
    controlled = (
        f"{'(d) with' if tasks else 'FKC at an inverse temperature β with'} the true preference s as reward: measured "
        f"mean preference (points) against the prediction E[s exp(βs)] / E[exp(βs)] from {base} base samples (line, "
        f"± {TOLERANCE})."
    )
    shown = [*sweep, *handed]
    return report.paragraph(
        swept if tasks else "",
        controlled if checks else "",
        check_sentence(table, grid),
        report.quote(table, grid, tasks or where, shown, who or list(dict.fromkeys(user for _, user, _, _ in checks))),
        f"Controls: {', '.join(handed)}." if handed else "No control ran.",
        report.unit_sentence(grid),
        report.diverged_sentence(table, tasks or where, shown),
    )
