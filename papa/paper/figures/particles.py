"""F7: particles on a 2-D mixture, over the exact target density."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from papa.benchmark.grid import BASE, Grid
from papa.benchmark.specs import RunSpec
from papa.errors import PapaError
from papa.paper import report, select
from papa.paper.figures import style
from papa.paper.select import samples

SHOWN = 800
"""Particles per panel."""
MASS = (0.95, 0.8, 0.6, 0.4, 0.2)
"""Probability inside each contour."""
SHADES = ("#E6EFF7", "#C3D8EA", "#98BCDB", "#6A9ECA", "#3F7FB7")
"""Shades of the contours, outermost first."""
ERRORS = {"share_error": "shares", "mean_error": "mean", "cov_error": "covariance"}
"""Measure of the error against the exact density -> its name."""
EDGE, POINTS = 3.0, 161
"""The density is evaluated on this many points along both axes of [-EDGE, EDGE]."""
FRAME = (-EDGE - 1.0, EDGE - 0.6)
"""Range of x2: the errors are printed below the mixture."""


def task_of(table: pd.DataFrame, grid: Grid) -> str | None:
    """The first task that ran and whose density is known exactly."""
    known = [label for label, task in grid.tasks.items() if "density" in task.declaration.offers]
    return next((label for label in sorted(known) if (table.task == label).any()), None)


def tilt_of(grid: Grid, method: str) -> float | None:
    """The inverse temperature of the exact target density; 0 for the base, None if unknown."""
    return 0.0 if method == BASE else grid.methods[method].settings.true_tilt


def panels(table: pd.DataFrame, grid: Grid, task: str) -> tuple[list[str], list[str]]:
    """(users, methods by ascending inverse temperature) that ran on the task and whose density is known."""
    ran = table[table.task == task]
    users = [user for user in dict.fromkeys(spec.user for spec in grid if spec.task == task) if user in set(ran.user)]
    tilts = {method: tilt_of(grid, method) for method in grid.methods if method in set(ran.method)}
    known = [(tilt, method != BASE, method) for method, tilt in tilts.items() if tilt is not None]
    return users, [method for *_, method in sorted(known, key=lambda entry: entry[:2])]


def exact_density(spec: RunSpec, tilt: float) -> tuple[np.ndarray, np.ndarray]:
    """The base's density tilted by exp(tilt u), u the user's reward.

    Returns: (POINTS,) coordinates of both axes, and (POINTS, POINTS) density per unit of area, rows along y. A tilt
             without a closed form is normalized by its sum over the grid.
    """
    import torch  # takes two seconds, and tables do not need it

    from papa.benchmark.users import user_of

    task = spec.of.declaration.load()(spec.of.settings)
    user = user_of(spec.who)
    user.calibrate(task)
    axis = np.linspace(-EDGE, EDGE, POINTS)
    points = torch.from_numpy(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2))
    density = (task.mixture.log_density(points) + tilt * user.preference(points)).exp()
    try:
        z = math.exp(user.exact.tilted(tilt)[1]) if user.exact is not None else float("nan")
    except PapaError:
        z = float(density.sum()) * (axis[1] - axis[0]) ** 2
    return axis, (density / z).numpy().reshape(POINTS, POINTS)


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F7 from the long table, the stored particles and the exact densities."""
    task = task_of(table, grid) or ""
    users, methods = panels(table, grid, task)
    width = style.FULL / max(3, len(methods))
    drawn = style.figure(width * len(methods), width * len(users) + 0.7)
    axes = drawn.subplots(len(users), len(methods), squeeze=False, sharex=True, sharey=True)
    for user, row in zip(users, axes, strict=True):
        for method, ax in zip(methods, row, strict=True):
            _panel(ax, grid, next(spec for spec in grid if (spec.task, spec.user) == (task, user)), method)
            ax.text(-EDGE + 0.15, FRAME[0] + 0.12, errors(table, grid, task, method, user), fontsize=5.8, va="bottom")
            if ax in axes[0]:
                tilt = tilt_of(grid, method)
                ax.set_title(method if method == BASE else f"{method}\nβ = {tilt:g}", fontsize=7)
        row[0].set_ylabel(f"{user}\nx₂", fontsize=7)
    for ax in axes[-1]:
        ax.set_xlabel("x₁", fontsize=7)
    _legend(drawn)
    return drawn


def errors(table: pd.DataFrame, grid: Grid, task: str, method: str, user: str) -> str:
    """Errors of the particles against the exact density, one per line; empty without a closed form."""
    found = {
        words: select.estimate(select.values(table, task, method, metric, [user]), grid)
        for metric, words in ERRORS.items()
    }
    lines = [f"{words} {report.plus_minus(value)}" for words, value in found.items() if value.n]
    return "\n".join(["error of", *lines]) if lines else ""


def _legend(drawn: Figure) -> None:
    """Legend of the shades, outermost first, and of the dots."""
    shades = [Patch(facecolor=shade, edgecolor=style.BLUE, linewidth=0.4) for shade in SHADES]
    dots = Line2D([], [], linestyle="none", marker="o", markersize=2.5, color=style.ORANGE)
    words = [f"{mass:.0%}" for mass in MASS]
    words[0] = f"inside {words[0]} of the density"
    drawn.legend([*shades, dots], [*words, "particle"], loc="outside lower center", ncols=len(MASS) + 1)


def level_sets(density: np.ndarray) -> list[float]:
    """The density's levels whose super-level sets hold the shares MASS, ascending and distinct."""
    ordered = np.sort(density.ravel())[::-1]
    share = np.cumsum(ordered) / ordered.sum()
    found = {float(ordered[min(int(np.searchsorted(share, mass)), len(ordered) - 1)]) for mass in MASS}
    return sorted(found)


def _panel(ax: Axes, grid: Grid, spec: RunSpec, method: str) -> None:
    axis, density = exact_density(spec, tilt_of(grid, method) or 0.0)
    levels = [*level_sets(density), float(density.max()) * 1.0001]
    ax.contourf(axis, axis, density, levels=levels, colors=SHADES[-len(levels) + 1 :])
    ax.contour(axis, axis, density, levels=levels[:-1], colors=style.BLUE, linewidths=0.4)
    ax.set_xlim(axis[0], axis[-1])
    ax.set_ylim(*FRAME)
    seeds = sorted(
        seed for task, label, user, seed in grid.specs if (task, label, user) == (spec.task, method, spec.user)
    )
    particles = samples(grid, spec.task, method, spec.user, seeds[0]) if seeds else None
    if particles is not None:
        points = particles.reshape(len(particles), -1)[:SHOWN]
        ink = style.ORANGE
        ax.scatter(points[:, 0], points[:, 1], s=1.6, color=ink, alpha=0.6, lw=0, rasterized=True)
    ax.set_aspect("equal")
    ax.grid(False)
    ax.set_xticks([-2, 0, 2])
    ax.set_yticks([-2, 0, 2])


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F7."""
    task = task_of(table, grid)
    users, methods = panels(table, grid, task) if task else ([], [])
    return report.caption(
        "Particles on a tilted Gaussian mixture",
        f"First {SHOWN} particles over the exact density; contours enclose {', '.join(f'{mass:.0%}' for mass in MASS)} "
        "of it. Printed: largest errors of component shares, mean and covariance, over seeds; those of the base are "
        "sampling error.",
        report.scope(table, grid, [task] if task else [], methods, users),
    )
