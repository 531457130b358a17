"""What a person takes away, what lies where, and what is deleted.

Beside the log `me.jsonl` lie `me.jsonl.draft` (keystrokes) and the folder `me.jsonl.exports`.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock

from papa.feedback import Feedback
from papa.files import write_atomic


class Answered(Protocol):
    """A round: its PNG files, and what was answered."""

    pictures: list[bytes]
    feedback: Feedback | None


def places(log: Path) -> tuple[Path, Path]:
    """The draft and the folder of exports of a log."""
    return log.with_name(f"{log.name}.draft"), log.with_name(f"{log.name}.exports")


def keep_rounds(log: Path, rounds: int) -> None:
    """Take all but the first rounds out of a log that no session has open; it is rewritten whole or not at all.

    Labels that were there before the first round stay.

    Raises:  PapaError where it cannot be written.
    """
    with FileLock(f"{log}.lock", timeout=10):
        lines = log.read_bytes().splitlines(keepends=True)
        before = 1 + ("given" in json.loads(lines[1]) if len(lines) > 1 else 0)
        write_atomic(log, b"".join(lines[: before + rounds]))


def fresh(folder: Path, what: str, rounds: int) -> Path:
    """A name in the folder of exports that is not taken; of a model its folder, of answers a name without suffix."""
    stem, index = f"{what}-after-{rounds}-rounds", 1
    while any(folder.glob(f"{stem}-{index}*")):
        index += 1
    return folder / f"{stem}-{index}"


def write_answers(place: Path, rounds: Sequence[Answered], prompt: str) -> Path:
    """Write every picture with its answer, and pairs in the columns of Pick-a-Pic.

    `PLACE.jsonl` has one line for each picture: caption (the prompt), round, item, label (1 liked, 0 disliked, null
    without an answer) and the PNG in base64. `PLACE.pairs.parquet` has, within each round, every liked picture beside
    every disliked one, or the pairs and ties that were answered; it is left out where there is no pair.

    Returns: the first of the two.
    Raises:  PapaError where a file cannot be written.
    """
    lines = [json.dumps(line) for line in _singles(rounds, prompt)]
    file = write_atomic(place.with_name(f"{place.name}.jsonl"), "".join(f"{line}\n" for line in lines))
    _write_pairs(place.with_name(f"{place.name}.pairs.parquet"), rounds, prompt)
    return file


def _singles(rounds: Sequence[Answered], prompt: str) -> Iterator[dict[str, Any]]:
    for index, here in enumerate(rounds):
        assert here.feedback is not None
        for item, (picture, preference) in enumerate(zip(here.pictures, here.feedback.preference, strict=True)):
            yield {
                "caption": prompt,
                "round": index,
                "item": item,
                "label": None if np.isnan(preference) else float(preference),
                "png": base64.b64encode(picture).decode("ascii"),
            }


def _write_pairs(file: Path, rounds: Sequence[Answered], prompt: str) -> None:
    import io

    from PIL import Image

    from papa.benchmark.personal.pick_a_pic import Written, write

    pictures = [picture for here in rounds for picture in here.pictures]
    rows = [Written("me", prompt, first, second, label) for first, second, label in pairs(rounds)]
    if rows:
        images = [np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")) for picture in pictures]
        write(file, images, rows)


def pairs(rounds: Sequence[Answered]) -> Iterator[tuple[int, int, float]]:
    """(first, second, label) of the pictures of all rounds, numbered through. label: of the first one, 1 or 1/2."""
    start = 0
    for here in rounds:
        feedback = here.feedback
        assert feedback is not None
        if feedback.pairs is None and feedback.ties is None:
            better, worse = (np.flatnonzero(side) for side in (feedback.preference > 0.5, feedback.preference < 0.5))
            yield from ((start + int(i), start + int(j), 1.0) for i in better for j in worse)
        for made, label in ((feedback.pairs, 1.0), (feedback.ties, 0.5)):
            yield from ((start + i, start + j, label) for i, j in ([] if made is None else made.tolist()))
        start += len(here.pictures)


def delete_all(log: Path) -> None:
    """Delete the log, its lock, the draft and the exports.

    Raises:  OSError where something cannot be deleted.
    """
    draft, folder = places(log)
    for file in (log, draft, log.with_name(f"{log.name}.lock")):
        file.unlink(missing_ok=True)
    if folder.is_dir():
        shutil.rmtree(folder)
