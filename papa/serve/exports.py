"""Saving answers, and deleting everything.

Beside the log `me.jsonl` are `me.jsonl.draft` (keystrokes) and the folder `me.jsonl.exports`.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from PIL import Image

from papa.files import write_atomic
from papa.serve.answers import Shown


def paths(log: Path) -> tuple[Path, Path]:
    """The draft and the folder of exports of a log."""
    return log.with_name(f"{log.name}.draft"), log.with_name(f"{log.name}.exports")


def keep_rounds(log: Path, rounds: int) -> None:
    """Keep only the first rounds of a log (and its given labels), which no session has open."""
    with FileLock(f"{log}.lock", timeout=10):
        lines = log.read_bytes().splitlines(keepends=True)
        before = 1 + ("given" in json.loads(lines[1]) if len(lines) > 1 else 0)
        write_atomic(log, b"".join(lines[: before + rounds]))


def new_path(folder: Path, what: str, rounds: int) -> Path:
    """An unused path, without suffix."""
    stem, index = f"{what}-after-{rounds}-rounds", 1
    while any(folder.glob(f"{stem}-{index}*")):
        index += 1
    return folder / f"{stem}-{index}"


def write_answers(path: Path, rounds: Sequence[Shown], prompt: str) -> Path:
    """Write all rated images, and all pairs in Pick-a-Pic's columns.

    `PATH.jsonl` has one line per image: caption (the prompt), round, item, label (1 liked, 0 disliked, null if skipped)
    and the PNG in base64. `PATH.pairs.parquet` pairs every liked image of a round with every disliked one, or has the
    pairs and ties that were answered; it is omitted if there are none.

    Returns:
        The first file.
    """
    from papa.benchmark.personal.pick_a_pic import Written, write

    lines = [json.dumps(line) for line in _lines(rounds, prompt)]
    file = write_atomic(path.with_name(f"{path.name}.jsonl"), "".join(f"{line}\n" for line in lines))
    rows = [Written("me", prompt, *pair) for pair in pairs(rounds)]
    if rows:
        pngs = [png for here in rounds for png in here.images]
        images = [np.asarray(Image.open(io.BytesIO(png), formats=["PNG"]).convert("RGB")) for png in pngs]
        write(path.with_name(f"{path.name}.pairs.parquet"), images, rows)
    return file


def _lines(rounds: Sequence[Shown], prompt: str) -> Iterator[dict[str, Any]]:
    for index, here in enumerate(rounds):
        assert here.feedback is not None
        for item, (png, preference) in enumerate(zip(here.images, here.feedback.preference, strict=True)):
            label = None if np.isnan(preference) else float(preference)
            data = base64.b64encode(png).decode("ascii")
            yield {"caption": prompt, "round": index, "item": item, "label": label, "png": data}


def pairs(rounds: Sequence[Shown]) -> Iterator[tuple[int, int, float]]:
    """(first, second, label of the first: 1 or 1/2); images are numbered through all rounds."""
    start = 0
    for here in rounds:
        feedback = here.feedback
        assert feedback is not None
        if feedback.pairs is None and feedback.ties is None:
            better, worse = (np.flatnonzero(side) for side in (feedback.preference > 0.5, feedback.preference < 0.5))
            yield from ((start + int(i), start + int(j), 1.0) for i in better for j in worse)
        for made, label in ((feedback.pairs, 1.0), (feedback.ties, 0.5)):
            yield from ((start + i, start + j, label) for i, j in ([] if made is None else made.tolist()))
        start += len(here.images)


def delete_all(log: Path) -> None:
    """Delete the log, its lock, the draft and the exports."""
    draft, folder = paths(log)
    for file in (log, draft, log.with_name(f"{log.name}.lock")):
        file.unlink(missing_ok=True)
    if folder.is_dir():
        shutil.rmtree(folder)
