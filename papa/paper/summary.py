"""The results on one screen: what the README shows of reference results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from papa.benchmark.grid import Grid
from papa.errors import RecordError
from papa.files import write_atomic
from papa.paper import outcome, report, select
from papa.paper.curve import PREFERENCE

POOLED: dict[str, tuple[str, int]] = {
    "liked_distance_ratio": ("varied", 2),
    "served_nearest_ratio": ("nearest", 2),
    "served_unique": ("different", 1),
    "sample": ("evaluations / image", 0),
    "amortized_cost_100": ("with learning, of 100", 0),
}
"""Measure -> its head and decimals; means over the users."""
WORDS = (
    "A user's name stands for the share of images that they like. The rest are means over the users for whom the "
    'method ran. "Varied": the mean feature distance of two liked images over that of two liked images of the base. '
    '"Nearest": the distance to the nearest other image of one request, over that of a mix of base samples of which as '
    'many are liked. "Different": how many images of one request are no near copies. "Evaluations": of the denoiser, '
    "for a served image; and with what learning took, where 100 are served."
)


def summary(table: pd.DataFrame, grid: Grid, claims: Sequence[Mapping[str, object]]) -> str:
    """The compared methods on each task, and what became of the claims, as Markdown.

    Args:    table: the long table, checked. claims: entries of `claims.json`.
    """
    tasks = select.preference_tasks(table)
    methods = [method for task in tasks for method in select.main_methods(grid, task)]
    users = [user for task in tasks for user in select.users_of(grid, task)]
    caption = report.paragraph(
        WORDS, report.quote(table, grid, tasks, list(dict.fromkeys(methods)), users), report.unit_sentence(grid)
    )
    return "\n".join([*(_task(table, grid, task) for task in tasks), caption, outcome.ledger(claims) + "\n"])


def _task(table: pd.DataFrame, grid: Grid, task: str) -> str:
    users = select.users_of(grid, task)

    def row(method: str) -> list[str]:
        liked = [
            select.estimate(select.values(table, task, method, PREFERENCE, [user]), grid, [user]) for user in users
        ]
        ran = [user for user, found in zip(users, liked, strict=True) if found.n]
        pooled = [
            report.number(select.estimate(select.values(table, task, method, metric, ran), grid, ran).mean, digits)
            for metric, (_, digits) in POOLED.items()
        ]
        return [method, *map(report.plus_minus, liked), *pooled]

    heads = ["method", *users, *(head for head, _ in POOLED.values())]
    return f"### {task}\n\n{report.markdown(heads, [row(method) for method in select.main_methods(grid, task)])}"


# ---------------------------------------------------------------- in a page


def marks(folder: Path) -> tuple[str, str]:
    """The two lines between which a page holds the summary of a folder of reference results."""
    return f"<!-- {folder.as_posix()}: written by papa reference -->", f"<!-- {folder.as_posix()}: end -->"


def placed(page: Path, folder: Path) -> str | None:
    """What a page holds between the marks of a folder; None where it has no such marks.

    Raises:  RecordError where one of the two marks is missing.
    """
    text, (begin, end) = page.read_text(encoding="utf-8"), marks(folder)
    if begin not in text and end not in text:
        return None
    if not -1 < text.find(begin) < text.find(end):
        raise RecordError(f"{page} has one of the lines {begin!r} and {end!r}; it needs both, in this order.")
    return text.split(begin)[1].split(end)[0].strip() + "\n"


def place(page: Path, folder: Path, text: str) -> bool:
    """Put a summary between the marks of its folder; False where the page has no such marks.

    Raises:  RecordError where one of the two marks is missing.
    """
    if placed(page, folder) is None:
        return False
    whole, (begin, end) = page.read_text(encoding="utf-8"), marks(folder)
    before, after = whole.split(begin)[0], whole.split(end)[1]
    write_atomic(page, f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}")
    return True
