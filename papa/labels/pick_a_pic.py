"""Pick-a-Pic's parquet layout, as pairs of one person's; what the benchmark's reader and writer share stands here too.

Columns: `jpg_0`, `jpg_1` (bytes of an encoded image), `label_0`, `label_1` (1 and 0, or one half each for a tie).
`user_id`, `caption` and `ranking_id` may be missing here.

Source: Kirstain et al. 2023, "Pick-a-Pic" (arXiv 2305.01569); https://huggingface.co/datasets/yuvalkirstain/pickapic_v1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from papa.errors import LabelsError
from papa.labels.interface import Encoded, Labels

PICTURES, CHOICE = ("jpg_0", "jpg_1"), ("label_0", "label_1")
BATCH = 256
"""Rows that are read at a time."""
FEW = 3
"""How many users an error names."""


def opened(file: Path, needed: Sequence[str]) -> pyarrow.parquet.ParquetFile:
    """A parquet file with these columns.

    Raises:  LabelsError for a file that is no parquet file or has not the columns.
    """
    try:
        source = pyarrow.parquet.ParquetFile(file)
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise LabelsError(f"{file} cannot be read as a parquet file ({error}); fetch or write it again.") from error
    if missing := [name for name in needed if name not in source.schema_arrow.names]:
        raise LabelsError(
            f"{file} has no column {', '.join(missing)}; files of pairs have Pick-a-Pic's columns: {', '.join(needed)}."
        )
    return source


def label_of(first: float | None, second: float | None, place: str) -> float | None:
    """1.0 where the first is preferred, 0.0 the second, 0.5 a tie; None where there is no label (the dataset has such).

    Raises:  LabelsError for labels that are none.
    """
    if first is None or second is None or np.isnan(first) or np.isnan(second):
        return None
    if (first, second) not in {(1, 0), (0, 1), (0.5, 0.5)}:
        raise LabelsError(f"the labels {first:g} and {second:g} in {place} are none: 1 and 0, 0 and 1, or 0.5 and 0.5.")
    return float(first)


def load_pairs(file: Path, user: str | None = None) -> Labels:
    """The pairs of one user. Picture 2 i is the first of pair i, and 2 i + 1 the second. Captions are not used.

    Args:    user: whose; None for a file with rows of one user, or without the column.
    Raises:  LabelsError as `load_labels` does.
    """
    source = opened(file, [*PICTURES, *CHOICE])
    columns = [name for name in (*CHOICE, "user_id", "ranking_id") if name in source.schema_arrow.names]
    table = _rows(source, columns, file)
    chosen = _of_user(table, user, file)
    said = {row: label_of(table[row]["label_0"], table[row]["label_1"], f"row {row} of {file}") for row in chosen}
    kept = [row for row in chosen if said[row] is not None]
    if not kept:
        raise LabelsError(f"{file} has no pairs with a label{'' if user is None else f' of user {user!r}'}.")
    _refuse_twice(table, kept, file)
    places = tuple(f"{name} in row {row} of {file}" for row in kept for name in PICTURES)
    found: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
    for index, row in enumerate(kept):
        label = said[row]
        found[label == 0.5].append((2 * index + 1, 2 * index) if label == 0 else (2 * index, 2 * index + 1))
    pairs, ties = (np.array(found[tie], dtype=np.int64).reshape(-1, 2) for tie in (False, True))
    left = len(chosen) - len(kept)
    notes = (f"{left} rows without a label are left out",) if left else ()
    unanswered = np.full(len(places), np.nan)
    return Labels(file, "pairs", unanswered, places, lambda: _pictures(file, kept), pairs, ties, notes)


def _rows(source: pyarrow.parquet.ParquetFile, columns: Sequence[str], file: Path) -> list[dict[str, Any]]:
    """All rows, without the pictures."""
    try:
        table = source.read([*columns]).to_pylist()
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise LabelsError(f"{file} is broken ({error}); fetch or write it again.") from error
    for index, row in enumerate(table):
        for name in CHOICE:
            if not isinstance(row[name], int | float | None):
                raise LabelsError(f"{name} in row {index} of {file} is {row[name]!r}, no number; write it again.")
    return table


def _of_user(table: Sequence[dict[str, Any]], user: str | None, file: Path) -> list[int]:
    """Which rows are a user's.

    Raises:  LabelsError for rows of several users where none is named, and for a user who has none.
    """
    counts = Counter(str(row["user_id"]) for row in table if row.get("user_id") is not None)
    most = ", ".join(f"{name} ({n})" for name, n in counts.most_common(FEW))
    if user is None:
        if len(counts) > 1:
            raise LabelsError(
                f"{file} has rows of {len(counts)} users, and labels are one person's: choose one with `user` (papa "
                f"labels --user). The most rows are those of {most}."
            )
        return list(range(len(table)))
    if user not in counts:
        raise LabelsError(f"{file} has no rows of user {user!r}; the most rows are those of {most or 'nobody'}.")
    return [index for index, row in enumerate(table) if str(row["user_id"]) == user]


def _refuse_twice(table: Sequence[dict[str, Any]], rows: Sequence[int], file: Path) -> None:
    seen: dict[Any, int] = {}
    for row in rows:
        if (number := table[row].get("ranking_id")) is not None and seen.setdefault(number, row) != row:
            raise LabelsError(f"row {row} of {file} has the ranking_id {number} of row {seen[number]}; keep one.")


def _pictures(file: Path, rows: Sequence[int]) -> Iterator[Encoded]:
    """The pictures of some rows, a batch of rows at a time."""
    wanted, row = set(rows), 0
    for batch in opened(file, PICTURES).iter_batches(BATCH, columns=[*PICTURES]):
        for index in range(len(batch)):
            if row in wanted:
                for name in PICTURES:
                    place = f"{name} in row {row} of {file}"
                    yield place, lambda cell=batch[name][index], place=place: _bytes(cell.as_py(), place)
            row += 1


def _bytes(value: Any, place: str) -> bytes:
    if not isinstance(value, bytes):
        raise LabelsError(f"the picture {place} is missing; leave the row out, or write the file with it.")
    return value
