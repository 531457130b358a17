"""A long table that looks like the real one, made of drawn numbers, and the grid that it belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from papa.benchmark.config import Config
from papa.benchmark.grid import Grid
from papa.benchmark.machine import Machine
from papa.benchmark.runs.record import Meta, npz_bytes, write_record
from papa.benchmark.specs import BaseSpec, RunSpec

METHODS: dict[str, dict[str, Any]] = {
    "base": {},
    "best_of_1": {"algorithm": "best_of_n", "n": 1},
    "best_of_4": {"algorithm": "best_of_n", "n": 4},
    "best_of_16": {"algorithm": "best_of_n", "n": 16},
    "reward_model": {"n": 16},
    "accept": {},
    "papa": {},
    "epapa": {},
    "fkc": {},
    "fkc-tuned": {"algorithm": "fkc", "beta_max": 12.0},
    "papa-published": {"algorithm": "papa", "preset": "published"},
    "papa-no-negatives": {"algorithm": "papa", "negatives": "none"},
    "papa-published-negatives": {"algorithm": "papa", "negatives": "published"},
    "papa-base-queries": {"algorithm": "papa", "queries": "base"},
    "papa-no-qpde": {"algorithm": "papa", "c_qpde": 0.0},
    "papa-no-accumulation": {"algorithm": "papa", "accumulate": False},
    "papa-lambda": {"algorithm": "papa", "weights": "lambda"},
    "epapa-k0.2": {"algorithm": "epapa", "frozen_below": 0.2},
    "epapa-k0.6": {"algorithm": "epapa", "frozen_below": 0.6},
    "epapa-k0.8": {"algorithm": "epapa", "frozen_below": 0.8},
    "fkc-b0.5": {"algorithm": "fkc", "beta_max": 0.5},
    "fkc-b1": {"algorithm": "fkc", "beta_max": 1.0},
    "fkc-b4": {"algorithm": "fkc", "beta_max": 4.0},
    "fkc-b8": {"algorithm": "fkc", "beta_max": 8.0},
    "fkc-no-resampling": {"algorithm": "fkc", "resampling": "none"},
    "fkc-stratified": {"algorithm": "fkc", "resampling": "stratified"},
    "fkc-diversity": {"algorithm": "fkc", "diversity": True},
    "fkc-through": {"algorithm": "fkc", "gradient": "through"},
    **{f"fkc-true-b{b:g}": {"algorithm": "fkc", "reward": "true", "beta_max": b} for b in (0.5, 1.0, 2.0, 4.0)},
}
MAIN = ["base", "best_of_1", "best_of_4", "best_of_16", "accept", "reward_model", "papa", "epapa", "fkc", "fkc-tuned"]
CONTROLS = [label for label in METHODS if label.startswith("fkc-true")]
ABLATIONS = [label for label in METHODS if label not in MAIN + CONTROLS]
USERS = ["likes-1479", "likes-068", "likes-3"]
GRADED = "likes-thick"
"""A user who answers with grades, and of whom there is no other judge."""
FRUIT_USERS = ["apple", "grape", "banana", "green", "two"]
SWEEP = ["fkc-b0.5", "fkc-b1", "fkc-b4"]

# Final preference under the gold judge (for the first user) and distance against a perfect mix's.
LEVELS: dict[str, tuple[float, float]] = {
    "base": (0.37, 1.0),
    "best_of_1": (0.37, 1.0),
    "best_of_4": (0.74, 0.985),
    "best_of_16": (0.88, 0.96),
    "reward_model": (0.87, 0.96),
    "accept": (0.82, 0.99),
    "papa": (0.85, 0.975),
    "epapa": (0.80, 0.985),
    "fkc": (0.60, 1.01),
    "fkc-tuned": (0.95, 0.9),
    "papa-published": (0.40, 1.0),
    "papa-no-negatives": (0.68, 0.98),
    "papa-published-negatives": (0.86, 0.94),
    "papa-base-queries": (0.80, 0.98),
    "papa-no-qpde": (0.96, 0.82),
    "papa-no-accumulation": (0.76, 0.975),
    "papa-lambda": (0.47, 1.03),
    "epapa-k0.2": (0.83, 0.98),
    "epapa-k0.6": (0.66, 0.99),
    "epapa-k0.8": (0.48, 1.0),
    "fkc-b0.5": (0.43, 1.005),
    "fkc-b1": (0.50, 1.01),
    "fkc-b4": (0.76, 0.985),
    "fkc-b8": (0.91, 0.93),
    "fkc-no-resampling": (0.56, 1.0),
    "fkc-stratified": (0.60, 1.01),
    "fkc-diversity": (0.57, 1.03),
    "fkc-through": (0.63, 1.0),
}
TAMER = {"likes-1479": 1.0, "likes-068": 0.95, "likes-3": 0.6, GRADED: 0.8} | dict.fromkeys(FRUIT_USERS, 0.9)
START = {"likes-1479": 1.0, "likes-068": 0.9}
FROZEN = {"epapa": 0.4, "epapa-k0.2": 0.2, "epapa-k0.6": 0.6, "epapa-k0.8": 0.8}


def config(folder: Path | str = "results", seeds: int = 3, **overrides: Any) -> Config:
    """A configuration like the default one; the overrides win."""
    count = list(range(seeds))
    data: dict[str, Any] = {
        "results": str(folder),
        "methods": METHODS,
        "grid": {
            "main": {"task": "digits", "methods": MAIN, "users": USERS, "seeds": count},
            "ablations": {"task": "digits", "methods": ABLATIONS, "users": USERS[:1], "seeds": count},
            "controls": {"task": "digits", "methods": CONTROLS, "users": USERS[:1], "seeds": count},
        },
    }
    return Config.model_validate(data | overrides)


def grid(folder: Path | str = "results", seeds: int = 3, **overrides: Any) -> Grid:
    """The grid of `config`."""
    return Grid(config(folder, seeds, **overrides))


def with_fruits(folder: Path | str = "results", seeds: int = 3) -> Grid:
    """The grid with the text-to-image task beside the digits."""
    count = list(range(seeds))
    digits = {name: block.model_dump() for name, block in config(folder, seeds).grid.items()}
    fruits = {
        "fruits": {"task": "fruits", "methods": MAIN, "users": FRUIT_USERS, "seeds": count},
        "fruits-sweep": {"task": "fruits", "methods": SWEEP, "users": FRUIT_USERS[:1], "seeds": count},
        "fruits-controls": {"task": "fruits", "methods": CONTROLS, "users": FRUIT_USERS[:3], "seeds": count},
    }
    return grid(folder, seeds, grid=digits | fruits, measures_by_task={"fruits": {"final": 512}})


def _measures(method: str, user: str, share: float, draw: np.random.Generator) -> dict[str, tuple[float, str]]:
    """Measures after a share of the rounds, with a spread like that between seeds."""
    gold, ratio = LEVELS.get(method, (0.7, 0.97))
    start = LEVELS["base"][0] * START.get(user, 0.3)
    reach = start + (gold - LEVELS["base"][0]) * TAMER[user]
    preference = float(np.clip(start + (reach - start) * (1 - np.exp(-3 * share)) / (1 - np.exp(-3)), 0, 1))
    preference = float(np.clip(preference + draw.normal(0, 0.015), 0, 1))
    trained = (
        0.0 if method.startswith(("base", "best", "accept", "fkc")) else 10_240 * share * (1 - FROZEN.get(method, 0))
    )
    return {
        "preference_gold": (preference, "share"),
        "preference_held_out": (preference - abs(draw.normal(0.01, 0.01)), "share"),
        "probability_gold": (preference - 0.01, "share"),
        "over_optimization": (abs(draw.normal(0.01, 0.01)), "share"),
        "served_vendi_ratio": (1 + (ratio - 1) * share + draw.normal(0, 0.004), "share of a perfect mix's"),
        "served_nearest_ratio": (1 + 2 * (ratio - 1) * share + draw.normal(0, 0.004), "share of a perfect mix's"),
        "served_unique": (32.0, "images"),
        "served_copies": (abs(draw.normal(0, 0.01)), "share"),
        "vendi": (9 * ratio + draw.normal(0, 0.2), "effective items"),
        "entropy": (min(0.93 * ratio + draw.normal(0, 0.01), 1), "share"),
        "labels": (80 * share, "labels"),
        "forward": (25 * 80 * share + trained, "evaluations"),
        "train": (3 * trained, "evaluations"),
        "backward": (trained, "evaluations"),
        "frozen": (trained, "evaluations"),
        "seconds": (2 + 18 * share * (1.2 - FROZEN.get(method, 0)), "s"),
    }


def _prompted(method: str, final: dict[str, tuple[float, str]], draw: np.random.Generator) -> dict[str, Any]:
    """What text-to-image tasks measure beside, at the end."""
    gold = final["preference_gold"][0]
    kept = 0.97 if method.startswith(("base", "best")) else 0.9 if "papa" in method else 0.6
    return {
        "preference_attributes": (gold - abs(draw.normal(0.02, 0.01)), "share"),
        "retention_gold": (kept + 0.02, "share"),
        "retention_held_out": (kept + draw.normal(0, 0.01), "share"),
    }


def long_table(of: Grid, rounds: int = 10) -> pd.DataFrame:
    """The long table of all runs of a grid on `digits` and `fruits`, with drawn values."""
    rows: list[dict[str, Any]] = []
    order = {label: index for index, label in enumerate(of.methods)}
    for spec in of:
        draw = np.random.default_rng(
            [order[spec.method], [*sorted(USERS), *FRUIT_USERS, GRADED].index(spec.user), spec.seed]
        )
        axes = {"task": spec.task, "method": spec.method, "algorithm": spec.algorithm, "user": spec.user}

        def add(
            round_: int, stage: str, found: dict[str, tuple[float, str]], axes: dict = axes, seed: int = spec.seed
        ) -> None:
            at = axes | {"seed": seed, "round": round_, "stage": stage}
            rows.extend(at | {"metric": name, "value": value, "unit": unit} for name, (value, unit) in found.items())

        if spec.method in CONTROLS:
            beta = float(spec.method.split("-b")[1])
            share = 0.37 * START.get(spec.user, 0.3 + 0.2 * (spec.user == "grape"))
            predicted = share * np.exp(beta) / (share * np.exp(beta) + 1 - share)
            measured = predicted - 0.01 + draw.normal(0, 0.01)
            add(0, "final", {"preference_measured": (measured, "share"), "preference_predicted": (predicted, "share")})
            continue
        for index in range(rounds + 1):
            add(index, "round", _measures(spec.method, spec.user, index / rounds, draw))
        final = _measures(spec.method, spec.user, 1.0, draw)
        distance = 12 - 9 * final["preference_gold"][0] + draw.normal(0, 0.2)
        final |= {"fid_preferred": (distance, "FID"), "fid_preferred_floor": (0.8, "FID")}
        final |= {"kid_preferred": (distance / 100, "KID"), "kid_preferred_floor": (0.001, "KID")}
        final |= {"fid_all": (4 + draw.normal(0, 0.1), "FID"), "fid_base": (5 + draw.normal(0, 0.1), "FID")}
        final |= {"peak_memory": (900.0, "MiB"), "diverged": (0.0, "0/1")}
        final |= {"labels": (float(spec.settings.labels), "labels")}
        ratio = LEVELS.get(spec.method, (0.7, 0.97))[1]
        final |= {"distance_ratio": (ratio + draw.normal(0, 0.004), "share of a perfect mix's")}
        final |= {"liked_distance_ratio": (1.5 * ratio - 0.5 + draw.normal(0, 0.01), "share of the base's")}
        image = 25.0 * max(1, int(spec.settings.model_dump().get("n", 1)))
        spent = sum(final[name][0] for name in ("forward", "backward", "frozen"))
        final |= {"sample": (image, "evaluations"), "amortized_cost_100": (image + spent / 100, "evaluations")}
        final |= {"like_rate": (final["preference_gold"][0] * 0.7, "share"), "labels_to_first_like": (2.0, "labels")}
        if spec.algorithm == "fkc":
            final["ess"] = (26 - 1.5 * spec.settings.model_dump()["beta_max"], "particles")
            final["surrogate_gap"] = (0.02 * spec.settings.model_dump()["beta_max"], "preference")
            final["unique_ancestors"] = (12 - spec.settings.model_dump()["beta_max"], "particles")
        final |= _prompted(spec.method, final, draw) if spec.task == "fruits" else {}
        add(rounds, "final", final)
    return pd.DataFrame(rows)


def diverge(table: pd.DataFrame, method: str, seed: int = 0) -> pd.DataFrame:
    """The same table where every run of a method and seed diverged."""
    hit = (table.method == method) & (table.seed == seed)
    changed = table.copy()
    changed.loc[hit & (table.metric == "diverged"), "value"] = 1.0
    changed.loc[hit & (table.metric == "preference_gold"), "value"] = np.nan
    return changed


def shift(table: pd.DataFrame, method: str, metric: str, by: float) -> pd.DataFrame:
    """The same table with a method's metric moved."""
    hit = (table.method == method) & (table.metric == metric)
    return table.assign(value=table.value + by * hit)


def _digit(kind: int) -> np.ndarray:
    """(8, 8) something that looks drawn."""
    draw = np.random.default_rng(kind)
    image = np.zeros((8, 8))
    row, column = 1, int(draw.integers(2, 6))
    for _ in range(14):
        image[row, column] = 255
        row, column = min(row + int(draw.integers(0, 2)), 7), int(np.clip(column + draw.integers(-1, 2), 1, 6))
    return image


def _fruit(count: int, draw: np.random.Generator) -> np.ndarray:
    """(count, 3, 32, 32) rendered fruit."""
    from papa.benchmark.tasks.fruits.render import pictures  # brings PyTorch along

    return pictures(count, draw)[0].transpose(0, 3, 1, 2)


MACHINE = Machine(system="none", processor="drawn", cores=1, threads=1, gpu=None, versions={}, commit=None)


def store(spec: RunSpec | BaseSpec, images: np.ndarray | None) -> None:
    """Write the record of a run, or of base samples, that holds nothing but these samples; None: the run diverged."""
    run = isinstance(spec, RunSpec)
    arrays = {} if images is None else {"final" if run else "images": images}
    meta = Meta(
        kind="run" if run else "base",
        key=spec.key,
        task=spec.task,
        seed=spec.seed,
        asked=spec.described,
        seconds={},
        peak_memory_mib=0.0,
        device="cpu",
        machine=MACHINE,
        weights={},
    )
    write_record(spec.folder, {"samples.npz": npz_bytes(arrays)}, meta)


def store_samples(of: Grid, count: int = 32) -> None:
    """Write base samples and final samples of every run, where the figures look for them."""
    fruit = _fruit(count, np.random.default_rng(0))
    based: set[Path] = set()
    for spec in of:
        draw = np.random.default_rng([spec.seed, len(spec.method)])
        images = np.stack([_digit(int(kind)) for kind in draw.integers(0, 10, count)])[:, None].astype(np.uint8)
        if spec.task == "fruits":
            images = fruit[draw.permutation(count)]
        store(spec, images)
        if spec.base.folder not in based:
            store(spec.base, images)
            based.add(spec.base.folder)


def particle_grid(folder: Path | str, betas: tuple[float, ...] = (1.0, 3.0)) -> Grid:
    """The grid of a small gmm2d configuration."""
    methods = {"base": {}} | {f"fkc-b{b:g}": {"algorithm": "fkc", "reward": "true", "beta_max": b} for b in betas}
    block = {"task": "gmm2d", "methods": list(methods), "users": ["linear", "quadratic"], "seeds": [0]}
    return Grid(Config.model_validate({"results": str(folder), "methods": methods, "grid": {"particles": block}}))


def store_particles(of: Grid, count: int = 1000) -> pd.DataFrame:
    """Write particles of `particle_grid` that lie near where they should; returns its long table."""
    centres = np.array([[-1.5, 0.0], [1.5, 1.0], [0.5, -1.5]])
    rows = []
    for spec in of:
        beta = float(spec.settings.model_dump().get("beta_max", 0.0))
        tilt = np.exp(beta * (centres @ (0.6, -0.3)))
        draw = np.random.default_rng(spec.seed)
        which = draw.choice(3, count, p=tilt / tilt.sum())
        shift = beta * 0.25 * np.array([0.6, -0.3])
        points = centres[which] + shift + draw.normal(0, 0.5, (count, 2))
        store(spec, points)
        if spec.method == "base":
            store(spec.base, points)
        axes = {"task": "gmm2d", "method": spec.method, "algorithm": spec.algorithm, "user": spec.user, "seed": 0}
        rows.append(axes | {"round": 0, "stage": "final", "metric": "share_error", "value": 0.01, "unit": "share"})
    return pd.DataFrame(rows)
