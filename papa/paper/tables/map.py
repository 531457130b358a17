"""T8: which method is ahead, by how rare a like is, the labels, and the number of images that are served."""

from __future__ import annotations

import pandas as pd

from papa.benchmark.grid import Grid
from papa.paper import report, select
from papa.paper.served import IMAGES, KEPT, LEVEL, Place, places
from papa.paper.tables import Made

AXES = ["task", "user", "base_rate", "labels", "method", "preference", "kept", "reaches", "sure"]
AXES += ["images", "cost", "ahead"]


def make(table: pd.DataFrame, grid: Grid) -> Made:
    """T8 from the long table."""
    found = places(table, grid)
    rows = [row for place in found for row in _rows(place, grid)]
    heads = ["user", "base rate", "labels", *(report.plural(images, "image") for images in IMAGES)]
    parts = [
        f"### {task}\n\n{report.markdown(heads, [_line(place, grid) for place in found if place.task == task])}"
        for task in dict.fromkeys(place.task for place in found)
    ]
    return Made(pd.DataFrame(rows, columns=AXES), "\n".join(parts), caption(table, grid))


def _rows(place: Place, grid: Grid) -> list[dict]:
    return [
        {
            "task": place.task,
            "user": place.user,
            "base_rate": place.rate.mean,
            "labels": place.labels,
            "method": of.method,
            "preference": of.preference.mean,
            "kept": of.kept.mean,
            "reaches": of.reaches,
            "sure": of.sure,
            "images": images,
            "cost": of.cost(images, grid).mean,
            "ahead": of is place.ahead(images, grid),
        }
        for of in place.methods
        for images in IMAGES
    ]


def _line(place: Place, grid: Grid) -> list[str]:
    cells = []
    for images in IMAGES:
        if (of := place.ahead(images, grid)) is None:
            best = place.most_liked
            cells.append(f"none ({best.method}: {best.preference.mean:.2f}, keeps {best.kept.mean:.2f})")
        else:
            cells.append(f"{of.method}{'' if of.sure else '?'} ({report.number(of.cost(images, grid).mean, 1)})")
    return [place.user, report.number(place.rate.mean), str(place.labels), *cells]


def caption(table: pd.DataFrame, grid: Grid) -> str:
    """The caption of T8."""
    tasks = select.preference_tasks(table)
    methods = [method for task in tasks for method in select.main_methods(grid, task)]
    users = [user for task in tasks for user in select.users_of(grid, task)]
    return report.paragraph(
        "The map: which method is ahead where so many images are served in all, and in brackets the denoiser "
        "evaluations that one of them costs, learning included and spread over them. Ahead is the cheapest of the "
        f"methods that reach a preference (gold) of {LEVEL:g} and keep {KEPT:g} of the base's distance within what is "
        "liked; where none does, the one of the highest preference stands in brackets. A question mark: its means "
        "reach that, but not both of its intervals, so that other seeds could say otherwise. A table by labels: "
        "methods that spent different numbers of them stand in lines of their own. The rarer a like, the lower the "
        "line.",
        report.quote(table, grid, tasks, methods, users),
    )
