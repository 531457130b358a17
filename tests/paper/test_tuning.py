"""The search for settings: equal tries for all, the floor on diversity, and what is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from support import synthetic

from papa.benchmark.grid import Grid, load
from papa.errors import SettingsError
from papa.paper import tuning

METHODS: dict[str, Any] = {
    f"{name}-{n}": {"algorithm": name, setting: value}
    for name, setting, values in (("papa", "c_qpde", (1.0, 0.5, 0.2)), ("fkc", "beta_max", (2.0, 5.0, 9.0)))
    for n, value in enumerate(values, 1)
}
TERMS = {"task": "digits", "users": ["likes-3", "likes-068"], "seeds": [100, 101]}


def searching(**blocks: dict[str, Any]) -> Grid:
    plain = {name: TERMS | {"methods": [m for m in METHODS if m.startswith(name)]} for name in ("papa", "fkc")}
    return synthetic.grid(methods=METHODS, grid=plain | blocks)


def table(grid: Grid, values: dict[str, tuple[float, float]], lost: str | None = None) -> pd.DataFrame:
    """A long table of (preference, distance within what is liked) by method, the same for all runs."""
    rows = []
    for spec in grid:
        axes = {"task": spec.task, "method": spec.method, "algorithm": spec.algorithm, "user": spec.user}
        found = dict(zip(("preference_gold", "liked_distance_ratio"), values[spec.method], strict=True))
        found |= {"diverged": float(spec.method == lost), "forward": 100.0, "backward": 10.0}
        at = axes | {"seed": spec.seed, "round": 10, "stage": "final", "unit": ""}
        rows += [at | {"metric": name, "value": value} for name, value in found.items()]
    return pd.DataFrame(rows)


VALUES = {
    "papa-1": (0.6, 1.0), "papa-2": (0.8, 0.91), "papa-3": (0.95, 0.6),
    "fkc-1": (0.5, 0.8), "fkc-2": (0.7, 0.85), "fkc-3": (0.9, 0.7),
}  # fmt: skip


def taken(found: dict[str, list[tuning.Try]]) -> dict[str, str]:
    return {label: tuning.chosen(of).method for label, of in found.items()}


def test_the_highest_preference_above_the_floor_is_taken_or_what_keeps_most() -> None:
    grid = searching()
    assert taken(tuning.tries(table(grid, VALUES), grid)) == {"papa": "papa-2", "fkc": "fkc-2"}


def test_what_diverged_is_not_taken() -> None:
    grid = searching()
    assert taken(tuning.tries(table(grid, VALUES, lost="papa-2"), grid))["papa"] == "papa-1"


def test_a_try_of_which_too_little_is_liked_to_measure_its_diversity_keeps_nothing() -> None:
    grid = searching()
    long = table(grid, VALUES | {"papa-2": (0.8, 0.91)})
    short = long[~((long.method == "papa-2") & (long.metric == "liked_distance_ratio") & (long.seed == 101))]
    assert taken(tuning.tries(short, grid))["papa"] == "papa-1"


@pytest.mark.parametrize(
    "block",
    [
        {"methods": ["papa-1", "papa-2"]},
        {"methods": ["papa-1", "papa-2", "papa-3"], "seeds": [100, 101, 102]},
        {"methods": ["papa-1", "papa-2", "papa-3"], "users": ["likes-3"]},
    ],
)
def test_a_search_that_favours_somebody_is_refused(block: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="no fair search"):
        tuning.candidates(searching(papa=TERMS | block))


def test_the_settings_are_a_configuration_to_extend_and_the_record_has_every_try(tmp_path: Path) -> None:
    grid = searching()
    files = tuning.write(table(grid, VALUES), grid, tmp_path / "results", "config/tuning.yaml")
    assert [file.name for file in files] == ["tuned.yaml", "tuning.csv", "tuning.md"]
    settings = yaml.safe_load(files[0].read_text(encoding="utf-8"))
    assert settings["methods"] == {
        "papa": {"algorithm": "papa", "c_qpde": 0.5},
        "fkc": {"algorithm": "fkc", "beta_max": 5.0},
    }
    frame = pd.read_csv(files[1])
    assert set(frame.method) == set(METHODS) and set(frame[frame.chosen].method) == {"papa-2", "fkc-2"}
    record = files[2].read_text(encoding="utf-8")
    assert record.count(" yes |") == 2 and all(f": {value} " in record for value in (0.2, 9.0))


def test_every_candidate_of_the_arena_has_as_many_tries_and_the_arena_has_one_of_them() -> None:
    root = Path(__file__).parents[2]
    search, arena = load(root / "config/tuning.yaml"), load(root / "config/arena.yaml")
    blocks = tuning.candidates(search)
    assert len(blocks) > 12 and {seed for block in blocks.values() for seed in block.seeds} == {100, 101}
    assert {spec.by.name for spec in search} >= {"papa", "fkc", "das", "raft", "diffusion_dpo", "distill", "seiko"}
    for label, block in blocks.items():
        assert arena.methods[label].settings in [search.methods[method].settings for method in block.methods], label
