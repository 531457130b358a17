"""The measured values of a run: `metrics.json` beside its record, checked when read. Imports no torch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from papa.benchmark.metrics import modules
from papa.benchmark.runs.key import completion_key
from papa.benchmark.runs.record import digest_of, stands
from papa.benchmark.specs import RunSpec
from papa.errors import RecordError
from papa.files import write_json

FILE = "metrics.json"


class Value(BaseModel):
    """One value of one run. value: None stands for NaN."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    metric: str
    value: float | None
    unit: str
    round: int
    stage: Literal["round", "final"]


class Scores(BaseModel):
    """The content of `metrics.json`. digest: sha256 of the rows."""

    model_config = ConfigDict(extra="forbid")
    key: str
    digest: str
    rows: list[Value]


def score_key(spec: RunSpec) -> str:
    """What the values of a run depend on."""
    code = ("papa.benchmark.runs.score", *modules())
    described = {"run": spec.key, "base": spec.base.key, "measures": spec.of.measures.model_dump()}
    return completion_key(described, code, {})


def write_scores(folder: Path, key: str, rows: list[dict[str, Any]]) -> None:
    """Write the values of a run."""
    values = [
        Value.model_validate(row | {"value": row["value"] if math.isfinite(row["value"]) else None}).model_dump()
        for row in rows
    ]
    write_json(folder / FILE, {"key": key, "digest": digest_of(values), "rows": values})


def read_scores(folder: Path, key: str) -> list[dict[str, Any]] | None:
    """The rows of a scored run (a value that is no number is NaN), or None if they are missing or not up to date.

    Raises:  RecordError for values that were changed or damaged after they were measured.
    """
    file = folder / FILE
    try:
        found = Scores.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ValidationError) as error:
        said = " ".join(str(error).split())[:200]
        raise RecordError(f"{file} is damaged ({said}); delete it and run the same command again.") from None
    rows = [row.model_dump() for row in found.rows]
    if digest_of(rows) != found.digest:
        raise RecordError(f"{file} was changed after it was measured; delete it and run the same command again.")
    if found.key != key:
        return None
    return [row | {"value": math.nan if row["value"] is None else row["value"]} for row in rows]


def is_made(spec: RunSpec) -> bool:
    """Whether a run stands, by its `run.json`, and its values beside it."""
    return stands(spec.folder, spec.key) and is_scored(spec)


def is_scored(spec: RunSpec) -> bool:
    """Whether sound and up-to-date values stand beside a run."""
    try:
        return read_scores(spec.folder, score_key(spec)) is not None
    except RecordError:
        return False
