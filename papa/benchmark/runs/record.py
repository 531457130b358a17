"""Stored results: folders with a `run.json`, and the measured values beside it. Nothing else reads or writes them.

`run.json` holds the key of the result, and the size and sha256 of each file. A folder is written beside its place and
renamed, so a killed process leaves the old record or none. `is_finished` alone decides whether a run is
there: planning and commands ask it. It looks at keys and sizes; whatever is read is checked against its sha256.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import math
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from papa.benchmark.machine import Machine
from papa.benchmark.specs import BaseSpec, RunSpec
from papa.errors import RecordError
from papa.files import beside, cannot_write, sweep, write_atomic, write_json

SCHEMA_VERSION = 3
META, SCORES, LOG = "run.json", "metrics.json", "feedback.jsonl"


class Stored(NamedTuple):
    """The size in bytes and the sha256 of a file of a record."""

    size: int
    sha256: str


class Evaluations(BaseModel):
    """Denoiser evaluations, as in `papa.diffusion.denoiser.Cost`."""

    model_config = ConfigDict(extra="forbid")
    forward: int = 0
    backward: int = 0
    frozen: int = 0


class Meta(BaseModel):
    """The `run.json` of a record.

    Attributes:
        kind: a run, or the base samples of a task and seed.
        asked: all settings, defaults resolved.
        status: `diverged` where a model returned NaN or infinity; `reason` says where.
        labels: labels spent.
        learning: evaluations while learning.
        total: evaluations while learning and for the final samples.
        seconds: total, and of the samples for measuring.
        device: the device that it was computed on.
        weights: sha256 of each shipped weight file.
        digest: sha256 of everything else in here.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    schema_version: Literal[3] = SCHEMA_VERSION
    kind: Literal["run", "base"]
    key: str
    task: str
    seed: int
    method: str | None = None
    algorithm: str | None = None
    user: str | None = None
    asked: dict[str, Any]
    status: Literal["done", "diverged"] = "done"
    reason: str | None = None
    labels: int = 0
    learning: Evaluations = Evaluations()
    total: Evaluations = Evaluations()
    seconds: dict[str, float | None]
    peak_memory_mib: float
    device: str
    machine: Machine
    weights: dict[str, str]
    files: dict[str, Stored] = {}
    digest: str = ""


class Value(BaseModel):
    """One measured value of a run; None is NaN."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    metric: str
    value: float | None
    unit: str
    round: int
    stage: Literal["round", "final"]


class Scores(BaseModel):
    """The content of `metrics.json`."""

    model_config = ConfigDict(extra="forbid")
    key: str
    rows: list[Value]
    digest: str = ""


S = TypeVar("S", Meta, Scores)


def digest_of(data: Any) -> str:
    """sha256 of JSON data, whatever its layout."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _write_sealed(file: Path, content: Meta | Scores) -> None:
    data = content.model_dump(mode="json", exclude={"digest"})
    write_json(file, data | {"digest": digest_of(data)})


def _read_sealed(file: Path, kind: type[S]) -> S:
    try:
        content = kind.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise RecordError(f"{file} is missing; run `snakemake --cores all`, or `papa align` (`papa base`).") from None
    except (OSError, ValueError, ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RecordError(f"{file} is damaged ({reason}); run the same command that made it again.") from None
    if content.digest != digest_of(content.model_dump(mode="json", exclude={"digest"})):
        raise RecordError(f"{file} was changed after it was written; run the same command that made it again.")
    return content


@dataclass(frozen=True)
class Record:
    """A stored result; each file is checked when it is read."""

    folder: Path
    meta: Meta

    def _read(self, name: str) -> bytes:
        file = self.folder / name
        try:
            data = file.read_bytes()
        except OSError:
            data = b""
        if name not in self.meta.files or hashlib.sha256(data).hexdigest() != self.meta.files[name].sha256:
            raise RecordError(f"{file} is missing or damaged; delete {self.folder} and run the same command again.")
        return data

    def verify(self) -> Record:
        """Check every file against its sha256."""
        for name in self.meta.files:
            self._read(name)
        return self

    def arrays(self, name: str = "samples.npz") -> dict[str, np.ndarray]:
        """All arrays of an npz file."""
        return arrays_of(self._read(name), self.folder / name)

    def rounds(self) -> list[dict[str, Any]]:
        """The rounds that the method learned from, as in the log of the session.

        Of a run that diverged, the log may have one more: an answer is logged before the method learns from it.
        """
        lines = [json.loads(line) for line in self._read(LOG).decode("utf-8").splitlines()]
        return [line for line in lines if "round" in line][: len(self.rows("rounds.csv"))]

    def rows(self, name: str) -> list[dict[str, str]]:
        """The rows of a CSV file, as text; no rows where the record has no such file."""
        if name not in self.meta.files:
            return []
        return list(csv.DictReader(self._read(name).decode("utf-8").splitlines()))


def read_record(folder: Path, key: str | None = None) -> Record:
    """The record of a folder, with any key or with this one.

    Raises:
        RecordError: if `run.json` is missing or damaged, has another key, or a file has another size.
    """
    record = Record(folder, _read_sealed(folder / META, Meta))
    if key is not None and record.meta.key != key:
        raise RecordError(
            f"the record in {folder} was made with other settings, sources or weights (key {record.meta.key}, needed: "
            f"{key}); run `snakemake --cores all`, or the command that made it."
        )
    for name, stored in record.meta.files.items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != stored.size:
            raise RecordError(f"{file} is missing or damaged; run the same command that made it again.")
    return record


def read_scores(spec: RunSpec) -> list[dict[str, Any]]:
    """The measured values of a run, unless they are missing, damaged or out of date."""
    scores = _read_sealed(spec.folder / SCORES, Scores)
    if scores.key != spec.score_key:
        raise RecordError(f"{spec.folder / SCORES} is out of date; run `papa align` for this run.")
    rows = [row.model_dump() for row in scores.rows]
    return [row | {"value": math.nan if row["value"] is None else row["value"]} for row in rows]


def stored(spec: BaseSpec | RunSpec, verify: bool = False) -> Record | None:
    """The record of a specification if it is there, with its key, its sizes and its device; else None.

    A run must be of the device of its base samples. With `verify`, the sha256 of each file is checked as well.
    """
    try:
        record = read_record(spec.folder, spec.key)
        if verify:
            record.verify()
    except RecordError:
        return None
    base = stored(spec.base) if isinstance(spec, RunSpec) else None
    return None if base is not None and kind_of(base.meta.device) != kind_of(record.meta.device) else record


def kind_of(device: str) -> str:
    """`cuda` of `cuda:1`."""
    return device.partition(":")[0]


def is_finished(spec: BaseSpec | RunSpec, verify: bool = False) -> bool:
    """Whether base samples, or a run and its values, are there."""
    if stored(spec, verify) is None:
        return False
    with suppress(RecordError):
        return isinstance(spec, BaseSpec) or bool(read_scores(spec))
    return False


def write_scores(spec: RunSpec, rows: list[dict[str, Any]]) -> None:
    """Write the values of a run."""
    values = [
        Value.model_validate(row | {"value": row["value"] if math.isfinite(row["value"]) else None}) for row in rows
    ]
    _write_sealed(spec.folder / SCORES, Scores(key=spec.score_key, rows=values))


def write_record(folder: Path, files: Mapping[str, bytes], meta: Meta) -> None:
    """Write a record: a new folder with all files and `run.json`, which then takes its place."""
    new, old = beside(folder, "new"), beside(folder, "old")
    try:
        sweep(folder)
        new.mkdir(parents=True)
        for name, data in files.items():
            write_atomic(new / name, data)
        about = {name: Stored(len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()}
        _write_sealed(new / META, meta.model_copy(update={"files": about}))
        with suppress(FileNotFoundError):
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:  # else another process was quicker; its record stays
                with suppress(OSError):
                    old.rename(folder)
                raise
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        for leftover in (new, old) if folder.exists() else (new,):
            shutil.rmtree(leftover, ignore_errors=True)


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as a compressed npz without pickle."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def arrays_of(data: bytes, file: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file's bytes."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as npz:
            return {name: npz[name] for name in npz.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise RecordError(f"{file} is damaged ({error}); delete its folder and run again.") from error


def csv_bytes(rows: list[dict[str, Any]]) -> bytes:
    """Rows with possibly different keys as CSV; absent values are empty."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()
