"""Files that are written completely or not at all, and hashes of their content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from papa.errors import PapaError

TEXT = frozenset({".json", ".jsonl", ".md", ".txt", ".yaml", ".yml", ".csv", ".py", ".html"})
"""Suffixes of text files, whose hash does not depend on the kind of line ends."""

ABANDONED = 3600
"""Age in seconds above which a temporary folder was left by a killed process; writing one takes seconds."""


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A temporary file beside `file`; when the block ends without an error it is synced to disk and replaces `file`.

    Raises:
        PapaError: if it cannot be written or the disk is full; `file` is unchanged.
    """
    temporary = beside(file, "tmp", file.suffix)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, file)
    except OSError as error:
        raise cannot_write(file, error) from error
    finally:
        with suppress(OSError):  # in a folder without write permission
            temporary.unlink(missing_ok=True)


def beside(place: Path, kind: str, suffix: str = "") -> Path:
    """A hidden, unique path in the same folder. Not by process number, which repeats between containers."""
    return place.with_name(f".{place.name}.{uuid.uuid4().hex}.{kind}{suffix}")


def sweep(place: Path) -> None:
    """Remove the temporary folders that killed processes left beside `place`."""
    if place.parent.is_dir():
        for leftover in place.parent.glob(f".{place.name}.*"):
            with suppress(OSError):
                if leftover.suffix in {".new", ".old"} and time.time() - leftover.stat().st_mtime > ABANDONED:
                    shutil.rmtree(leftover, ignore_errors=True)


def write_atomic(file: Path, data: bytes | str) -> Path:
    """Write a file under a temporary name and rename it. Text is UTF-8 with line feeds on every system."""
    with replacing(Path(file)) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
    return Path(file)


def write_json(file: Path, data: Any) -> Path:
    """Write JSON, indented, with sorted keys; NaN and infinity, which JSON does not have, are a ValueError."""
    return write_atomic(file, json.dumps(data, indent=2, sort_keys=True, allow_nan=False) + "\n")


RERUN = "or choose another place (in a configuration with `results:`), then run the same command again"
AGAIN = "then do the same again"


def cannot_write(place: Path, error: OSError, then: str = RERUN) -> PapaError:
    """The error for a file or folder that cannot be written; `then` says what to do after that is solved."""
    return PapaError(
        f"cannot write {place}: {error.strerror or error}. Finished work is kept. Free disk space or give write "
        f"permission there, {then}; it continues from here."
    )


def sha256(file: Path) -> str:
    """sha256 of a file's content, in hex; the same for a text file with LF and with CR LF."""
    if file.suffix in TEXT:
        return hashlib.sha256(file.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
    with open(file, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def forget_paths(folder: Path) -> None:
    """Remove local paths, which diffusers writes as `_name_or_path`, from a saved model."""
    for file in folder.rglob("*.json"):
        data = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(data, dict) and data.pop("_name_or_path", None) is not None:
            file.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
