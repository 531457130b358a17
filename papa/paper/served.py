"""What a served image costs, and which method is ahead by how rare a like is, the labels, and the images to be served.

Particles and rejection pay for each image; fine-tuning pays once. So what an image costs in evaluations of the denoiser
is what learning took, spread over the images that are served, and what drawing it takes. Ahead is the cheapest of the
methods that reach `LEVEL` of preference and keep `KEPT` of the base's distance within what is liked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from papa.benchmark.grid import BASE, Grid
from papa.paper import select
from papa.paper.stats import Estimate

LEVEL = 0.8
"""The preference that counts as reached: for the map, and what labels and evaluations are counted up to (T3, T9)."""
KEPT = 0.9
"""Mean distance of two liked samples, as a share of that of two liked base samples, that has to be kept: for the map,
and by a try of the search for settings."""
IMAGES = (1, 10, 100, 1_000, 10_000)
"""Numbers of images that are served in all."""
LEARNING = ("forward", "backward", "frozen")


@dataclass(frozen=True)
class Served:
    """A method on a task for a user. learning: (user, seed) -> evaluations until its labels are spent. sample: the same
    of one image. kept: distance within what is liked, over the base's."""

    method: str
    labels: int
    preference: Estimate
    kept: Estimate
    learning: pd.Series
    sample: pd.Series

    @property
    def reaches(self) -> bool:
        """Whether it is good enough to be compared by cost."""
        return self.preference.mean >= LEVEL and self.kept.mean >= KEPT

    @property
    def sure(self) -> bool:
        """Whether the intervals of both lie above the level too: other seeds would hardly say otherwise."""
        return self.preference.lower >= LEVEL and self.kept.lower >= KEPT

    def cost(self, images: int, grid: Grid) -> Estimate:
        """Evaluations for a served image where `images` are served in all."""
        return select.estimate(self.learning / images + self.sample, grid)


@dataclass(frozen=True)
class Place:
    """A place on the map: a user of a task with a budget of labels. rate: the base's preference."""

    task: str
    user: str
    labels: int
    rate: Estimate
    methods: list[Served]

    def ahead(self, images: int, grid: Grid) -> Served | None:
        """The cheapest method of those that reach the level; None where none does."""
        good = [of for of in self.methods if of.reaches]
        return min(good, key=lambda of: of.cost(images, grid).mean) if good else None

    @property
    def most_liked(self) -> Served:
        """The method of the highest preference, whatever it costs or keeps."""
        return max(self.methods, key=lambda of: of.preference.mean)


def places(table: pd.DataFrame, grid: Grid) -> list[Place]:
    """The map: the places of each task, the rarer the like the later."""
    found = []
    for task in select.preference_tasks(table):
        of_task = []
        for user in select.users_of(grid, task):
            rate = select.estimate(select.values(table, task, BASE, "preference_gold", [user]), grid)
            methods = [
                served
                for method in select.main_methods(grid, task)
                if (served := _served(table, grid, task, method, user))
            ]
            for labels in sorted({of.labels for of in methods}):
                mine = [of for of in methods if of.labels == labels]
                of_task.append(Place(task, user, labels, rate, mine))
        found += sorted(of_task, key=lambda place: -place.rate.mean if place.rate.n else -np.inf)
    return found


def _served(table: pd.DataFrame, grid: Grid, task: str, method: str, user: str) -> Served | None:
    """None for the base, which learns nothing, and for what did not run."""

    def of(metric: str) -> pd.Series:
        return select.values(table, task, method, metric, [user])

    preference = select.estimate(of("preference_gold"), grid)
    if grid.methods[method].declaration.draws == "base" or not preference.n:
        return None
    learning = pd.concat([of(metric) for metric in LEARNING], axis=1).sum(axis=1)
    kept = select.estimate(of("liked_distance_ratio"), grid)
    return Served(method, grid.methods[method].settings.labels, preference, kept, learning, of("sample"))
