"""F5: FKC's inverse temperature, how far its surrogate is exploited, and a check with the true liking as reward."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.figures import style

REFERENCE, SETTING = "fkc", "beta_max"
TOLERANCE = 0.07
"""How far the measured mean liking may lie from the prediction."""
MEASURED, PREDICTED = "liking_measured", "liking_predicted"


def points(table: pd.DataFrame, grid: Grid, task: str) -> dict[str, float]:
    """Method -> beta, of the sweep's methods that ran on a task, the true liking left out."""
    ran = set(table.loc[(table.metric == "preference_gold") & (table.task == task), "method"])
    return select.sweep(grid, REFERENCE, SETTING, ran).points


def controls(table: pd.DataFrame, grid: Grid) -> list[tuple[str, str, str, float]]:
    """(task, user, method, beta) of the runs that were handed the true liking, by beta."""
    rows = table.loc[table.metric == MEASURED, ["task", "user", "method"]].drop_duplicates()
    found = [
        (task, user, method, float(grid.methods[method].settings.model_dump()[SETTING]))
        for task, user, method in rows.itertuples(index=False)
        if method in grid.methods and select.is_control(grid, method)
    ]
    return sorted(found, key=lambda entry: (entry[0], entry[1], entry[3]))


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F5 from the long table."""
    checks = controls(table, grid)
    tasks = [task for task in select.preference_tasks(table) if len(points(table, grid, task)) > 1]
    if not tasks and not checks:
        return style.nothing("No sweep over FKC's beta and no control with the true liking ran.")
    drawn = style.figure(style.FULL, 4.6)
    left, middle, gap, right = drawn.subplots(2, 2).flat
    for task in tasks[:1]:
        _sweep(left, table, grid, task, {"preference_gold": "gold judge", "preference_held_out": "held-out judge"})
        kept = {"distance_ratio": "distance / perfect mix's", "served_nearest_ratio": "nearest / perfect mix's"}
        _sweep(middle, table, grid, task, kept)
        _sample_size(middle, table, grid, task)
        _gap(gap, table, grid, task)
        middle.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
    left.set_ylabel("preference")
    left.set_ylim(0, 1)
    middle.set_ylabel("diversity")
    gap.set_ylabel("surrogate reward − preference")
    _prediction(right, table, grid, checks)
    for ax, letter in ((left, "a"), (middle, "b"), (gap, "c"), (right, "d")):
        ax.set_xlabel("inverse temperature β")
        ax.set_title(letter, loc="left")
    return drawn


def users(table: pd.DataFrame, grid: Grid, task: str) -> list[str]:
    """The users for whom every method of the sweep ran."""
    ran = [
        set(select.values(table, task, m, "preference_gold").index.get_level_values("user"))
        for m in points(table, grid, task)
    ]
    return [user for user in select.users_of(grid, task) if all(user in found for found in ran)]


def _sweep(ax: Axes, table: pd.DataFrame, grid: Grid, task: str, metrics: dict[str, str]) -> None:
    sweep, who = points(table, grid, task), users(table, grid, task)
    for (metric, label), ink in zip(metrics.items(), style.COLOURS["fkc"], strict=True):
        ys = [select.estimate(select.values(table, task, method, metric, who), grid) for method in sweep]
        kept = [(beta, y) for beta, y in zip(sweep.values(), ys, strict=True) if y.n]
        if kept:
            style.line_with_band(ax, [b for b, _ in kept], [y for _, y in kept], marker="v", color=ink, label=label)
    _axis(ax)


def _gap(ax: Axes, table: pd.DataFrame, grid: Grid, task: str) -> None:
    """The surrogate's mean reward of the final samples minus their preference: how far it is exploited."""
    ax.axhline(0, color=style.FAINT, lw=0.8)
    inks = [style.COLOURS["fkc"][0], *style.SPARE]
    for index, user in enumerate(users(table, grid, task)):
        ink = inks[index % len(inks)]
        found = {
            beta: select.estimate(select.values(table, task, method, "surrogate_gap", [user]), grid)
            for method, beta in points(table, grid, task).items()
        }
        kept = {beta: value for beta, value in found.items() if value.n}
        if kept:
            style.line_with_band(ax, list(kept), list(kept.values()), marker="v", color=ink, label=user)
    _axis(ax)


def _sample_size(ax: Axes, table: pd.DataFrame, grid: Grid, task: str) -> None:
    """What is left of the particles: effective sample size and distinct ancestors of the final populations."""
    who = users(table, grid, task)
    for metric, label, dashes in (("ess", "effective sample size / N", 4), ("unique_ancestors", "ancestors / N", 1)):
        line = []
        for method, beta in points(table, grid, task).items():
            particles = grid.methods[method].settings.model_dump()["particles"]
            share = select.estimate(select.values(table, task, method, metric, who) / particles, grid)
            line += [(beta, share)] if share.n else []
        if line:
            look = {"color": style.FAINT, "linestyle": (0, (dashes, 2)), "label": label}
            style.line_with_band(ax, [beta for beta, _ in line], [share for _, share in line], **look)
    _axis(ax)


def _axis(ax: Axes) -> None:
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(style.no_ticks())
    if ax.get_legend_handles_labels()[1]:
        ax.legend(loc="best")


def _prediction(ax: Axes, table: pd.DataFrame, grid: Grid, checks: list[tuple[str, str, str, float]]) -> None:
    """Predicted mean liking as a line with its tolerance, the measured one as points."""
    pairs, keys = list(dict.fromkeys((task, user) for task, user, _, _ in checks)), []
    inks = [style.COLOURS["fkc"][0], style.COLOURS["papa"][0], style.COLOURS["best_of_n"][1], *style.SPARE]
    for index, (task, user) in enumerate(pairs):
        mine = [(method, beta) for t, u, method, beta in checks if (t, u) == (task, user)]
        betas = [beta for _, beta in mine]
        ink = inks[index % len(inks)]
        predicted = [select.estimate(select.values(table, task, m, PREDICTED, [user]), grid).mean for m, _ in mine]
        ax.plot(betas, predicted, color=ink, lw=1, label=f"predicted, {user}")
        ax.fill_between(
            betas, [p - TOLERANCE for p in predicted], [p + TOLERANCE for p in predicted], color=ink, alpha=0.12, lw=0
        )
        for method, beta in mine:
            measured = select.estimate(select.values(table, task, method, MEASURED, [user]), grid)
            style.errorbar(ax, beta, measured, fmt="o", color=ink, markerfacecolor="white")
        keys.append(Line2D([], [], color=ink, lw=1, marker="o", markerfacecolor="white", label=user))
    ax.set_ylabel("mean liking")
    ax.margins(x=0.06)
    ax.set_ylim(0, 1)
    if pairs:
        ax.legend(handles=keys, loc="best")
    else:
        ax.text(0.5, 0.5, "no control ran", transform=ax.transAxes, ha="center", color=style.FAINT)


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F5."""
    tasks, checks = select.preference_tasks(table)[:1], controls(table, grid)
    sweep = points(table, grid, tasks[0]) if tasks else {}
    who = [user for task in tasks for user in users(table, grid, task)]
    handed = list(dict.fromkeys(method for _, _, method, _ in checks))
    base = report.samples(grid, list(dict.fromkeys(task for task, _, _, _ in checks)), "base")
    return report.paragraph(
        "FKC's inverse temperature β (the last round's and the final samples'). (a) preference; (b) diversity (mean "
        "distance of two images, and within one request to the nearest one, both over a perfect mix's), effective "
        "sample size (of the last weights) and distinct ancestors of the final populations as shares of their N "
        "particles; (c) what the surrogate gives the final samples less what the user does, all with the surrogate "
        "reward. (d) with the true liking s as reward: measured mean liking (points) against the prediction E[s "
        f"exp(βs)] / E[exp(βs)] from {base} base samples (line, ± {TOLERANCE}).",
        report.quote(table, grid, tasks if sweep else [], list(sweep), who),
        f"Controls: {', '.join(handed)}." if handed else "No control ran.",
        report.unit_sentence(grid),
        report.diverged_sentence(table, tasks, [*sweep, *handed]),
    )
