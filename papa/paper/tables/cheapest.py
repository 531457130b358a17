"""T8: the cheapest good method by user, labels, and number of generated images.

Fine-tuning pays once, particles and rejection pay for each image. The cost of an image is the evaluations of learning,
spread over all generated images, and those of sampling it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from papa.benchmark.grid import BASE, Grid
from papa.paper import report, select
from papa.paper.select import KEPT, LEARNING, LEVEL
from papa.paper.stats import Estimate
from papa.paper.tables import Made

IMAGES = (1, 10, 100, 1_000, 10_000)
AXES = ["task", "user", "base_rate", "labels", "method", "preference", "kept", "reaches", "sure"]
AXES += ["images", "cost", "cheapest"]


@dataclass(frozen=True)
class Candidate:
    """A method for a user of a task: its preference, the share of the base's diversity that it keeps, its costs."""

    method: str
    labels: int
    preference: Estimate
    kept: Estimate
    costs: dict[int, float]

    @property
    def reaches(self) -> bool:
        """Whether its means are good enough."""
        return self.preference.mean >= LEVEL and self.kept.mean >= KEPT

    @property
    def sure(self) -> bool:
        """Whether its intervals are good enough."""
        return self.preference.lower >= LEVEL and self.kept.lower >= KEPT


def make(table: pd.DataFrame, grid: Grid) -> Made:
    """T8 from the long table."""
    rows, parts = [], []
    for task in select.preference_tasks(table):
        lines = []
        users = select.users_of(grid, task)
        rates = {u: select.estimate(select.values(table, task, BASE, select.PREFERENCE, [u]), grid).mean for u in users}
        for user in sorted(users, key=lambda user: -rates[user] if np.isfinite(rates[user]) else np.inf):
            own = table[(table.task == task) & (table.user == user)]  # every value is looked up many times
            found = (_candidate(own, grid, task, method, user) for method in select.main_methods(grid, task))
            candidates = [of for of in found if of is not None]
            for labels in sorted({of.labels for of in candidates}):
                mine = [of for of in candidates if of.labels == labels]
                axes = {"task": task, "user": user, "base_rate": rates[user], "labels": labels}
                best = {images: _cheapest(mine, images) for images in IMAGES}
                rows += [row for of in mine for row in _rows(axes, of, best)]
                lines.append(
                    [user, report.number(rates[user]), str(labels), *(_cell(mine, best[i], i) for i in IMAGES)]
                )
        heads = ["user", "base's preference", "labels", *(report.plural(images, "image") for images in IMAGES)]
        parts.append(f"### {task}\n\n{report.markdown(heads, lines)}")
    tasks = select.preference_tasks(table)
    caption = report.caption(
        "Cheapest method by number of generated images",
        f"Of the methods with a preference of {LEVEL:g} that keep {KEPT:g} of the base's distance within liked images. "
        "Brackets: evaluations per image, with learning. “?”: uncertain over seeds; “none”: the closest.",
        report.scope(
            table,
            grid,
            tasks,
            [method for task in tasks for method in select.main_methods(grid, task)],
            [user for task in tasks for user in select.users_of(grid, task)],
        ),
    )
    return Made(pd.DataFrame(rows, columns=AXES), "\n".join(parts), caption)


def _candidate(table: pd.DataFrame, grid: Grid, task: str, method: str, user: str) -> Candidate | None:
    """None for the base and for methods that did not run."""
    values = {
        metric: select.values(table, task, method, metric, [user])
        for metric in (select.PREFERENCE, "liked_distance_ratio", "sample", *LEARNING)
    }
    preference = select.estimate(values[select.PREFERENCE], grid)
    if grid.methods[method].declaration.draws == "base" or not preference.n:
        return None
    learning = pd.concat([values[metric] for metric in LEARNING], axis=1).sum(axis=1)
    costs = {images: select.estimate(learning / images + values["sample"], grid).mean for images in IMAGES}
    kept = select.estimate(values["liked_distance_ratio"], grid)
    return Candidate(method, grid.methods[method].settings.labels, preference, kept, costs)


def _cheapest(candidates: list[Candidate], images: int) -> Candidate | None:
    return min((of for of in candidates if of.reaches), key=lambda of: of.costs[images], default=None)


def _rows(axes: dict, of: Candidate, best: dict[int, Candidate | None]) -> list[dict]:
    axes = axes | {"method": of.method, "preference": of.preference.mean, "kept": of.kept.mean}
    axes |= {"reaches": of.reaches, "sure": of.sure}
    return [axes | {"images": images, "cost": of.costs[images], "cheapest": of is best[images]} for images in IMAGES]


def _cell(candidates: list[Candidate], best: Candidate | None, images: int) -> str:
    if best is None:
        closest = max(candidates, key=lambda of: of.preference.mean)
        return f"none ({closest.method}: {closest.preference.mean:.2f}, keeps {closest.kept.mean:.2f})"
    return f"{best.method}{'' if best.sure else '?'} ({report.number(best.costs[images], 1)})"
