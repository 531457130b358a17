"""T8 and F10: which method is ahead, against numbers worked out by hand."""

from __future__ import annotations

import pandas as pd
import pytest
from support import synthetic

from papa.benchmark.grid import Grid
from papa.paper import served, tables

METHODS = {"base": {}, "papa": {}, "fkc": {}, "papa-few": {"algorithm": "papa", "labels": 40}}
VALUES = {  # preference, distance within what is liked, forward, backward, of one image
    "base": (0.1, 1.0, 0, 0, 10.0),
    "papa": (0.85, 0.95, 3000, 1000, 10.0),
    "fkc": (0.9, 0.92, 400, 0, 40.0),
    "papa-few": (0.6, 1.0, 1500, 500, 10.0),
}
NAMES = ("preference_gold", "liked_distance_ratio", "forward", "backward", "sample")


@pytest.fixture
def grid() -> Grid:
    block = {"task": "digits", "methods": list(METHODS), "users": ["likes-3", "likes-068"], "seeds": [0, 1]}
    return synthetic.grid(methods=METHODS, grid={"main": block})


def table(grid: Grid, values: dict = VALUES, rates: dict | None = None) -> pd.DataFrame:
    rows = []
    for spec in grid:
        axes = {"task": spec.task, "method": spec.method, "algorithm": spec.algorithm, "user": spec.user}
        found = dict(zip(NAMES, values[spec.method], strict=True)) | {"frozen": 0.0, "diverged": 0.0}
        if spec.method == "base":
            found["preference_gold"] = (rates or {}).get(spec.user, found["preference_gold"])
        at = axes | {"seed": spec.seed, "round": 10, "stage": "final", "unit": ""}
        rows += [at | {"metric": name, "value": float(value)} for name, value in found.items()]
    return pd.DataFrame(rows)


def ahead(table: pd.DataFrame, grid: Grid, labels: int = 80) -> dict[int, str | None]:
    found = next(place for place in served.places(table, grid) if place.labels == labels)
    best = {images: found.ahead(images, grid) for images in served.IMAGES}
    return {images: None if of is None else of.method for images, of in best.items()}


def test_who_pays_for_each_image_is_ahead_for_few_and_who_pays_once_for_many(
    grid: Grid,
) -> None:
    """papa: 4000 / m + 10, fkc: 400 / m + 40: they meet at m = 120."""
    found = ahead(_checked(table(grid)), grid)
    assert found == {1: "fkc", 10: "fkc", 100: "fkc", 1_000: "papa", 10_000: "papa"}
    place = next(place for place in served.places(_checked(table(grid)), grid) if place.labels == 80)
    assert {of.method: of.cost(100, grid).mean for of in place.methods} == {"papa": 50.0, "fkc": 44.0}


def _checked(long: pd.DataFrame) -> pd.DataFrame:
    from papa.paper import select

    return select.check(long)


def test_what_is_liked_too_rarely_or_too_alike_is_never_ahead(grid: Grid) -> None:
    narrow = VALUES | {"fkc": (0.99, 0.7, 400, 0, 1.0)}
    assert set(ahead(_checked(table(grid, narrow)), grid).values()) == {"papa"}
    assert set(ahead(_checked(table(grid)), grid, labels=40).values()) == {None}


def test_the_rarer_the_like_the_later_and_budgets_apart(grid: Grid) -> None:
    long = _checked(table(grid, rates={"likes-3": 0.01, "likes-068": 0.3}))
    places = served.places(long, grid)
    assert [(p.user, p.labels) for p in places] == [
        ("likes-068", 40), ("likes-068", 80), ("likes-3", 40), ("likes-3", 80),
    ]  # fmt: skip
    made = tables.make("T8", long.drop(columns="lost"), grid)
    assert "none (papa-few: 0.60, keeps 1.00)" in made.markdown and "papa (14)" in made.markdown
    assert set(made.frame.loc[made.frame.ahead, "method"]) == {"papa", "fkc"}


def test_who_reaches_the_level_by_its_mean_alone_is_marked_as_unsure(grid: Grid) -> None:
    long = _checked(table(grid))
    seed = (long.method == "papa") & (long.metric == "preference_gold")
    long.loc[seed & (long.seed == 0), "value"] = 0.70  # .85 in the mean still, but by half of the seeds
    long.loc[seed & (long.seed == 1), "value"] = 1.00
    assert ahead(long, grid)[10_000] == "papa"
    made = tables.make("T8", long.drop(columns="lost"), grid)
    assert "papa? (10" in made.markdown and "fkc (80" in made.markdown and "fkc?" not in made.markdown
    assert set(made.frame.loc[made.frame.reaches & ~made.frame.sure, "method"]) == {"papa"}
