"""Small runs: settings that keep every method to a fraction of a second; and a check of messages."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from papa.benchmark.grid import Grid, load
from papa.methods.declaration import MethodSettings

# Whatever a method calls these settings, they make it small. A method without them runs with its defaults.
SMALL: dict[str, Any] = {
    "labels": 5,
    "per_round": 2,
    "updates": 1,
    "items": 4,
    "timesteps": 5,
    "particles": 6,
    "n": 2,
    "surrogate": {"epochs": 3, "channels": 8},
    "guesses": 12,
    "raft": {"updates": 1, "items": 4, "timesteps": 5},
    "diffusion_nft": {"updates": 1, "items": 4, "timesteps": 5},
    "papa": {"updates": 1, "items": 4, "timesteps": 5},
}
MEASURES = {"final": 8, "served": 6, "per_round": 4, "base": 16, "diversity": 8, "kid_subset": 4, "kid_subsets": 2}
SEEDS = [0, 1]
PLANE: dict[str, Any] = {"task": "gmm2d", "methods": ["base", "fkc"], "users": ["linear"], "seeds": SEEDS}
DIGITS: dict[str, Any] = {"task": "digits", "methods": ["base", "papa", "fkc"], "users": ["likes-1479"], "seeds": SEEDS}


def small(settings: type[MethodSettings], **given: Any) -> Any:
    """The settings of a method, made small; what is given wins."""
    return settings(**{name: value for name, value in SMALL.items() if name in settings.model_fields} | given)


def config(folder: Path, block: dict[str, Any] = PLANE, **given: Any) -> dict[str, Any]:
    """A tiny experiment with its results in `folder`; what is given replaces top-level settings."""
    methods = {
        "base": {"labels": 4, "per_round": 2},
        "best_of_n": {name: SMALL[name] for name in ("labels", "per_round", "n", "surrogate")},
        "papa": {name: SMALL[name] for name in ("labels", "per_round", "updates", "items", "timesteps")},
        # A strong tilt, so that it shows in stored images however little the surrogate has learned.
        "fkc": {name: SMALL[name] for name in ("labels", "per_round", "particles", "surrogate")} | {"beta_max": 1000},
    }
    data = {
        "results": str(folder / "results"),
        "figures": str(folder / "figures"),
        "measures": MEASURES,
        "device": "cpu",
        "tasks": {"digits": {"steps": 3}, "gmm2d": {"steps": 5}},
        "methods": methods,
        "grid": {"main": block},
    }
    return copy.deepcopy(data | given)


def write(folder: Path, data: dict[str, Any]) -> Path:
    """The experiment as a configuration file."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def grid(folder: Path, block: dict[str, Any] = PLANE, **given: Any) -> Grid:
    """The grid of `config`."""
    return load(write(folder, config(folder, block, **given)))


def assert_paragraph(text: str, *words: str) -> None:
    """One paragraph, no traceback, with these words."""
    assert "Traceback" not in text, text
    assert text.strip() and "\n\n" not in text.strip(), text
    assert len(text) < 1000, text
    for word in words:
        assert word in text, f"{word!r} is not in: {text}"
