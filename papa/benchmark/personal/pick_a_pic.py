"""Pairs of images with a user's choices, in the layout of Pick-a-Pic's parquet files.

Columns that are read: `jpg_0`, `jpg_1` (bytes of an encoded image), `label_0`, `label_1` (1 and 0, or one half each for
a tie), `caption`, `user_id`. The other columns of the published dataset are also written.

Source: Kirstain et al. 2023, "Pick-a-Pic" (arXiv 2305.01569); https://huggingface.co/datasets/yuvalkirstain/pickapic_v1.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from papa.errors import PapaError
from papa.files import replacing
from papa.images import decode
from papa.labels import BATCH, image_bytes, label_of, opened

NEEDED = ("jpg_0", "jpg_1", "label_0", "label_1", "caption", "user_id")
DICTIONARY = 2**28
"""Largest dictionary of a column, in bytes."""


@dataclass(frozen=True)
class Choice:
    """A row. first, second: (H, W, 3) uint8. label: 1.0 if the first is preferred, 0.0 if the second, 0.5 for a tie."""

    user: str
    caption: str
    first: np.ndarray
    second: np.ndarray
    label: float


@dataclass(frozen=True)
class Written:
    """A row to write. first, second: indices of images. label: as in `Choice`."""

    user: str
    caption: str
    first: int
    second: int
    label: float


def encoded(image: np.ndarray) -> bytes:
    """(H, W, 3) uint8 -> the bytes of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def write(file: Path, images: Sequence[np.ndarray], rows: Iterable[Written]) -> None:
    """Write pairs of images."""
    data = [encoded(image) for image in images]
    names = [hashlib.sha256(bytes_).hexdigest()[:32] for bytes_ in data]
    frame = pd.DataFrame(
        [
            {
                "are_different": names[row.first] != names[row.second],
                "best_image_uid": "" if row.label == 0.5 else names[row.first if row.label == 1 else row.second],
                "caption": row.caption,
                "has_label": True,
                "image_0_uid": names[row.first],
                "image_1_uid": names[row.second],
                "jpg_0": data[row.first],
                "jpg_1": data[row.second],
                "label_0": row.label,
                "label_1": 1 - row.label,
                "ranking_id": index,
                "user_id": row.user,
            }
            for index, row in enumerate(rows)
        ]
    )
    with replacing(file) as temporary:
        # One dictionary for all rows: an image of many pairs is stored once.
        frame.to_parquet(temporary, index=False, dictionary_pagesize_limit=DICTIONARY)


def labelled(files: Sequence[Path]) -> Counter[str]:
    """User -> rows with a label. Reads no images."""
    found: Counter[str] = Counter()
    for file in files:
        columns = ["user_id", "label_0", "label_1"]
        frame = opened(file, NEEDED).read(columns).to_pandas().dropna(subset=columns)
        found.update(frame["user_id"].astype(str))
    return found


def read(files: Sequence[Path], of: Mapping[str, int] | None = None) -> Iterator[Choice]:
    """The labelled rows of parquet files.

    Args:
        files: parquet files.
        of: user -> largest number of rows; rows of other users are left out. None takes all rows.

    Raises:
        PapaError: for a file of another format, a bad label, or an image that is missing or broken; names file and row.
    """
    left = None if of is None else dict(of)
    for file in files:
        row = 0
        for batch in opened(file, NEEDED).iter_batches(BATCH, columns=[*NEEDED]):
            for entry in batch.to_pylist():
                place = f"row {row} of {file}"
                row += 1
                label = label_of(entry["label_0"], entry["label_1"], place)
                if label is None:
                    continue
                if entry["user_id"] is None or entry["caption"] is None:
                    raise PapaError(f"{place} has no user_id or no caption; leave the row out.")
                user = str(entry["user_id"])
                if left is not None:
                    if not left.get(user):
                        continue
                    left[user] -= 1
                first, second = (_decoded(entry[name], f"{name} in {place}") for name in ("jpg_0", "jpg_1"))
                yield Choice(user, entry["caption"], first, second, label)


def _decoded(cell: Any, place: str) -> np.ndarray:
    if not (data := image_bytes(cell)):
        raise PapaError(f"the image {place} is missing; leave the row out, or write the file with the images in it.")
    try:
        return np.asarray(decode(data))
    except ValueError as error:
        raise PapaError(f"the image {place} cannot be read ({error}); leave the row out.") from error
