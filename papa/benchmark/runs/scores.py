"""Where the figures of a run stand, and whether they are up to date. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from papa.benchmark.config import Measures
from papa.benchmark.registry import METRICS
from papa.benchmark.runs.key import completion_key
from papa.errors import RecordError

FILE = "metrics.json"


def score_key(run_key: str, pool_key: str, measures: Measures) -> str:
    """What the figures of a run depend on."""
    modules = ("papa.benchmark.runs.score", *(entry.module for entry in METRICS.values()))
    return completion_key({"run": run_key, "pool": pool_key, "measures": measures.model_dump()}, modules, {})


def read_scores(folder: Path, key: str) -> list[dict[str, Any]] | None:
    """The rows of a scored run, or None if they are missing or not up to date."""
    try:
        data = json.loads((folder / FILE).read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RecordError(f"{folder / FILE} is damaged ({error}); delete it and score again.") from error
    return data["rows"] if data["key"] == key else None
