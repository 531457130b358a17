"""F7: particles on the 2-D mixture, over the exact density that they should follow.

Reads `density/{user}.npz` of the task: x (nx,), y (ny,), base (ny, nx) and tilted_{beta:g} (ny, nx).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.figures import style
from papa.paper.figures.samples import read

TASK = "gmm2d"
SHOWN = 800
"""Particles drawn per panel."""
MASS = (0.95, 0.8, 0.6, 0.4, 0.2)
"""Shares of the probability that the contours enclose."""


def beta_of(grid: Grid, method: str) -> float:
    """The inverse temperature of the method's samples; 0 for those that do not tilt."""
    return float(grid.methods[method][1].model_dump().get("beta_max", 0.0))


def panels(table: pd.DataFrame, grid: Grid) -> tuple[list[str], list[str]]:
    """(users, methods by ascending beta) that ran on the task, controls included."""
    ran = table[table.task == TASK]
    users = [user for user in dict.fromkeys(spec.user for spec in grid if spec.task == TASK) if user in set(ran.user)]
    methods = [method for method in grid.methods if method in set(ran.method)]
    return users, sorted(methods, key=lambda method: (beta_of(grid, method), method != select.BASE))


def draw(table: pd.DataFrame, grid: Grid) -> Figure:
    """F7 from the long table, the stored particles and the exact densities."""
    users, methods = panels(table, grid)
    if not users:
        return style.nothing(f"No run of {TASK}.")
    width = style.FULL / max(3, len(methods))
    drawn = style.figure(width * len(methods), width * len(users) + 0.2)
    axes = drawn.subplots(len(users), len(methods), squeeze=False, sharex=True, sharey=True)
    for user, row in zip(users, axes, strict=True):
        for method, ax in zip(methods, row, strict=True):
            _panel(ax, table, grid, user, method)
            if ax in axes[0]:
                ax.set_title(
                    method if method == select.BASE else f"{method}\nβ = {beta_of(grid, method):g}", fontsize=7
                )
        row[0].set_ylabel(user)
    return drawn


def level_sets(density: np.ndarray) -> list[float]:
    """The density's levels whose super-level sets hold the shares MASS, ascending and distinct."""
    ordered = np.sort(density.ravel())[::-1]
    share = np.cumsum(ordered) / ordered.sum()
    found = {float(ordered[min(int(np.searchsorted(share, mass)), len(ordered) - 1)]) for mass in MASS}
    return sorted(found)


def _panel(ax: Axes, table: pd.DataFrame, grid: Grid, user: str, method: str) -> None:
    results = Path(grid.config.results) / TASK
    exact = results / "density" / f"{user}.npz"
    beta = beta_of(grid, method)
    x, y = read(exact, "x"), read(exact, "y")
    density = read(exact, f"tilted_{beta:g}" if beta else "base")
    if x is not None and y is not None and density is not None:
        levels = [*level_sets(density), float(density.max()) * 1.0001]
        ax.contourf(x, y, density, levels=levels, cmap="Blues", alpha=0.75)
        ax.contour(x, y, density, levels=levels[:-1], colors=style.COLOURS["papa"][0], linewidths=0.4)
        ax.set_xlim(x[0], x[-1])
        ax.set_ylim(y[0], y[-1])
    ran = table.loc[(table.task == TASK) & (table.method == method) & (table.user == user), "seed"]
    if len(ran):
        particles = read(results / "runs" / method / user / f"seed{ran.min()}" / "samples.npz", "final")
        if particles is not None:
            points = particles.reshape(len(particles), -1)[:SHOWN]
            ax.scatter(
                points[:, 0], points[:, 1], s=1.4, color=style.COLOURS["fkc"][0], alpha=0.55, lw=0, rasterized=True
            )
    ax.set_aspect("equal")
    ax.grid(False)
    ax.set_xticks([])
    ax.set_yticks([])


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of F7."""
    users, methods = panels(table, grid)
    return report.paragraph(
        "A Gaussian mixture whose score is exact, tilted by known rewards: particles (dots) over the exact density in "
        f"closed form; contours enclose {', '.join(f'{mass:.0%}' for mass in MASS)} of it. The first {SHOWN} particles "
        "of the lowest seed.",
        report.quote(table, grid, [TASK] if users else [], methods, users),
    )
