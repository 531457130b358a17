"""T8: the cheapest method, against numbers worked out by hand."""

from __future__ import annotations

import pandas as pd
import pytest
from support import synthetic

from papa.benchmark.grid import Grid
from papa.paper import tables
from papa.paper.tables.cheapest import IMAGES

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


def cheapest(long: pd.DataFrame, grid: Grid, labels: int = 80) -> dict[int, str | None]:
    frame = tables.make("T8", long, grid).frame
    best = frame[frame.cheapest & (frame.user == "likes-3") & (frame.labels == labels)].set_index("images").method
    return {images: best.get(images) for images in IMAGES}


def test_paying_per_image_is_cheapest_for_few_images_and_paying_once_for_many(grid: Grid) -> None:
    """papa: 4000 / m + 10, fkc: 400 / m + 40: they meet at m = 120."""
    assert cheapest(table(grid), grid) == {1: "fkc", 10: "fkc", 100: "fkc", 1_000: "papa", 10_000: "papa"}
    frame = tables.make("T8", table(grid), grid).frame
    costs = frame[(frame.images == 100) & (frame.user == "likes-3") & (frame.labels == 80)].set_index("method").cost
    assert costs.to_dict() == {"papa": 50.0, "fkc": 44.0}


def test_low_preference_or_diversity_is_never_cheapest(grid: Grid) -> None:
    narrow = VALUES | {"fkc": (0.99, 0.7, 400, 0, 1.0)}
    assert set(cheapest(table(grid, narrow), grid).values()) == {"papa"}
    assert set(cheapest(table(grid), grid, labels=40).values()) == {None}


def test_users_are_ordered_by_the_preference_of_the_base(grid: Grid) -> None:
    made = tables.make("T8", table(grid, rates={"likes-3": 0.01, "likes-068": 0.3}), grid)
    assert list(dict.fromkeys(zip(made.frame.user, made.frame.labels, strict=True))) == [
        ("likes-068", 40), ("likes-068", 80), ("likes-3", 40), ("likes-3", 80),
    ]  # fmt: skip
    assert "none (papa-few: 0.60, keeps 1.00)" in made.markdown and "papa (14)" in made.markdown


def test_a_level_reached_by_the_mean_alone_is_marked(grid: Grid) -> None:
    long = table(grid)
    mine = (long.method == "papa") & (long.metric == "preference_gold")
    long.loc[mine & (long.seed == 0), "value"] = 0.70
    long.loc[mine & (long.seed == 1), "value"] = 1.00
    made = tables.make("T8", long, grid)
    assert cheapest(long, grid)[10_000] == "papa"
    assert "papa? (10" in made.markdown and "fkc (80" in made.markdown and "fkc?" not in made.markdown
