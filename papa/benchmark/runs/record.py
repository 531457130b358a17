"""Run records: folders that describe themselves, written whole or not at all. Nothing else reads or writes one.

A record is a folder with files and a `run.json` that holds the completion key, the sha256 of each file and one of
itself. It is written beside its place and moved there, so a killed process leaves the old record or none, and of two
processes that write one record the later one's stands, whole. Whatever is read is checked against its hash.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from papa.benchmark.machine import Machine
from papa.errors import PapaError, RecordError
from papa.files import beside, cannot_write, sweep, write_atomic, write_json

SCHEMA_VERSION = 2
META = "run.json"
TAKEN = {errno.ENOTEMPTY, errno.EEXIST}
"""Error numbers of moving a folder to a place that another process has just filled."""


class Evaluations(BaseModel):
    """Denoiser evaluations, as in `papa.diffusion.denoiser.Cost`."""

    model_config = ConfigDict(extra="forbid")
    forward: int = 0
    backward: int = 0
    frozen: int = 0


class Meta(BaseModel):
    """The `run.json` of a record.

    kind: a run, or the base samples of a task and seed. asked: everything that it was asked for, defaults resolved.
    status: `diverged` where a model returned NaN or infinity (reason says where). labels: labels that were spent.
    learning, total: evaluations while learning, and with the samples of the result. seconds: total, and of the samples
    for measuring. weights: sha256 of each shipped weight file.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    schema_version: Literal[2] = SCHEMA_VERSION
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
    files: dict[str, str] = {}
    digest: str = ""

    def own_digest(self) -> str:
        """The sha256 of everything but itself."""
        return digest_of(self.model_dump(mode="json", exclude={"digest"}))


def digest_of(data: Any) -> str:
    """sha256 of JSON data, whatever its layout."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Record:
    """A record as it was read. Its files are checked when they are read."""

    folder: Path
    meta: Meta

    def _read(self, name: str) -> bytes:
        expected, file = self.meta.files.get(name), self.folder / name
        try:
            data = file.read_bytes()
        except OSError:
            raise RecordError(
                f"{file} is missing; delete the folder {self.folder} and run the same command again."
            ) from None
        if hashlib.sha256(data).hexdigest() != expected:
            raise RecordError(
                f"{file} is truncated or damaged; delete the folder {self.folder} and run the same command again."
            )
        return data

    def verify(self) -> Record:
        """Check every file against its hash.

        Raises:  RecordError that names the file and says what to do.
        """
        for name in self.meta.files:
            self._read(name)
        return self

    def arrays(self, name: str = "samples.npz") -> dict[str, np.ndarray]:
        """All arrays of an npz file."""
        return arrays_of(self._read(name), self.folder / name)

    def lines(self, name: str = "feedback.jsonl") -> list[dict[str, Any]]:
        """The entries of a JSON-lines file."""
        return [json.loads(line) for line in self._read(name).decode("utf-8").splitlines()]

    def rows(self, name: str) -> list[dict[str, str]]:
        """The rows of a CSV file, as text; an absent value is empty. No rows where the record has no such file."""
        if name not in self.meta.files:
            return []
        return list(csv.DictReader(self._read(name).decode("utf-8").splitlines()))


def read_record(folder: Path, key: str | None = None) -> Record:
    """The record of a folder, its `run.json` checked; its files are checked when they are read.

    Args:    key: the completion key that it must have; None takes any.
    Raises:  RecordError that says what is wrong and what to do.
    """
    file = folder / META
    try:
        meta = Meta.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise RecordError(
            f"there is no record in {folder}; run the alignment that makes it (base samples: `papa base`)."
        ) from None
    except (OSError, ValueError, ValidationError) as error:
        said = " ".join(str(error).split())[:200]
        raise RecordError(f"{file} cannot be read ({said}); delete the folder and run again.") from None
    if meta.digest != meta.own_digest():
        raise RecordError(f"{file} was changed after it was written; delete the folder {folder} and run again.")
    if key is not None and meta.key != key:
        raise RecordError(
            f"the record in {folder} was made with other settings, sources or weights (key {meta.key}, "
            f"needed is {key}); run `snakemake --cores all` or the alignment again."
        )
    return Record(folder, meta)


def stands(folder: Path, key: str) -> bool:
    """Whether a record with this key stands in `folder`, by its `run.json` alone."""
    try:
        read_record(folder, key)
    except RecordError:
        return False
    return True


def is_complete(folder: Path, key: str) -> bool:
    """Whether a sound record with this key stands in `folder`, every file of it checked."""
    try:
        read_record(folder, key).verify()
    except RecordError:
        return False
    return True


# ---------------------------------------------------------------- writing


def write_record(folder: Path, files: Mapping[str, bytes], meta: Meta) -> None:
    """Write a record: all files, then `run.json` with their hashes, then the folder to its place.

    Raises:  PapaError where the place cannot be written or the disk is full.
    """
    new = beside(folder, "new")
    try:
        sweep(folder)
        new.mkdir(parents=True)
        for name, data in files.items():
            write_atomic(new / name, data)
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        whole = meta.model_copy(update={"files": hashes})
        write_json(new / META, whole.model_copy(update={"digest": whole.own_digest()}).model_dump(mode="json"))
        _take_place(new, folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _take_place(new: Path, folder: Path) -> None:
    """Move a folder to a place that other processes may be taking as well: the last one stays."""
    moved_away: list[Path] = []
    done = False
    try:
        for _ in range(100):
            old = beside(folder, "old")
            try:
                if folder.exists():
                    moved_away.append(folder.rename(old))
                new.rename(folder)
                done = True
                return
            except OSError as error:
                if error.errno in TAKEN or (error.errno == errno.ENOENT and not old.exists()):
                    continue  # another process was quicker: it has put its own there, or moved the old one away
                if not folder.exists():  # the place cannot be written: what was there comes back
                    with suppress(OSError):
                        old.rename(folder)
                raise
        raise PapaError(f"other processes keep writing {folder}; stop them and run the same command again.")
    finally:
        if done or folder.exists():  # done: it may be gone again for the instant of another's exchange
            for old in moved_away:
                shutil.rmtree(old, ignore_errors=True)


# ---------------------------------------------------------------- files of a record


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as a compressed npz without pickle."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def arrays_of(data: bytes, file: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file's bytes.

    Raises:  RecordError if it is damaged.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise RecordError(f"{file} is truncated or damaged ({error}); delete its folder and run again.") from error


def csv_bytes(rows: list[dict[str, Any]]) -> bytes:
    """Rows with possibly different keys as CSV; absent values are empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def jsonl_bytes(lines: list[Mapping[str, Any]]) -> bytes:
    """Entries as JSON lines."""
    return "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines).encode()
