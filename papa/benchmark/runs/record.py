"""Run records: folders that describe themselves, written whole or not at all.

A record is a folder with files and a `run.json` that holds the completion key and the sha256 of each
file. It is written beside its place and moved there, so a killed process leaves the old record or
none; a truncated file is noticed by its hash.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from papa.errors import PapaError, RecordError

SCHEMA_VERSION = 1
META = "run.json"


def write_atomic(file: Path, data: bytes | str) -> None:
    """Write a file under a temporary name and rename it.

    Raises:  PapaError where the place cannot be written or the disk is full.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as handle:
            handle.write(data.encode() if isinstance(data, str) else data)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, file)
    except OSError as error:
        with suppress(OSError):  # where nothing can be written, nothing can be removed either
            temporary.unlink()
        raise _cannot_write(file, error) from error


def write_json(file: Path, data: Any) -> None:
    """Write JSON, indented, with sorted keys."""
    write_atomic(file, json.dumps(data, indent=2, sort_keys=True) + "\n")


def _cannot_write(place: Path, error: OSError) -> PapaError:
    return PapaError(
        f"cannot write {place}: {error.strerror or error}. Finished runs are kept. Free disk space or give write "
        "permission there (or choose another folder with `results:` in the configuration), then run the same "
        "command again: it goes on from here."
    )


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as a compressed npz without pickle."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def write_record(folder: Path, files: Mapping[str, bytes], meta: Mapping[str, Any]) -> None:
    """Write a record: all files, then `run.json` with their hashes, then the folder to its place.

    Raises:  PapaError where the place cannot be written or the disk is full.
    """
    new, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{kind}") for kind in ("new", "old"))
    try:
        sweep(folder)
        new.mkdir(parents=True)
        for name, data in files.items():
            write_atomic(new / name, data)
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        write_json(new / META, {"schema_version": SCHEMA_VERSION, **meta, "files": hashes})
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, PapaError) as error:
        shutil.rmtree(new, ignore_errors=True)
        if old.exists() and not folder.exists():
            with suppress(OSError):
                old.rename(folder)
        if isinstance(error, PapaError):
            raise
        raise _cannot_write(folder, error) from error


def sweep(folder: Path) -> None:
    """Remove what killed writers of this record left beside it."""
    if folder.parent.is_dir():
        for leftover in folder.parent.glob(f".{folder.name}.*"):
            if leftover.suffix in {".new", ".old"} and not _alive(int(leftover.suffixes[-2][1:])):
                shutil.rmtree(leftover, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()


def read_meta(folder: Path) -> dict[str, Any]:
    """The `run.json` of a record.

    Raises:  RecordError if it is missing or unreadable.
    """
    try:
        return json.loads((folder / META).read_text())
    except FileNotFoundError:
        raise RecordError(
            f"there is no record in {folder}; run the alignment that makes it (base samples: `papa base`)."
        ) from None
    except (OSError, ValueError) as error:
        raise RecordError(f"{folder / META} cannot be read ({error}); delete the folder and run again.") from error


def verify(folder: Path, key: str | None = None) -> dict[str, Any]:
    """Check a record against its hashes and, if given, its key; returns its `run.json`.

    Raises:  RecordError that says what is wrong and what to do.
    """
    meta = read_meta(folder)
    if key is not None and meta.get("key") != key:
        raise RecordError(
            f"the record in {folder} was made with other settings, sources or weights (key {meta.get('key')}, "
            f"wanted {key}); run `snakemake --cores all` or the alignment again."
        )
    for name, expected in meta["files"].items():
        file = folder / name
        found = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "missing"
        if found != expected:
            state = "is missing" if found == "missing" else "is truncated or damaged"
            raise RecordError(f"{file} {state}; delete the folder {folder} and run the same command again.")
    return meta


def is_complete(folder: Path, key: str) -> bool:
    """Whether a sound record with this key stands in `folder`."""
    try:
        verify(folder, key)
    except RecordError:
        return False
    return True


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file.

    Raises:  RecordError if it is damaged.
    """
    try:
        with np.load(file, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise RecordError(f"{file} is truncated or damaged ({error}); delete its folder and run again.") from error
