"""Tables of labels, CSV and JSON lines: the columns image and grade, or better, worse and (if need be) tie.

Both become rows with the number of their line; what the columns mean stands in `rows_to_labels`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from papa.errors import LabelsError
from papa.labels.interface import Kind, Labels, checked, from_files
from papa.settings import unknown

COLUMNS: dict[Kind, tuple[str, ...]] = {"grades": ("image", "grade"), "pairs": ("better", "worse", "tie")}
NEEDED: dict[Kind, tuple[str, ...]] = {"grades": ("image", "grade"), "pairs": ("better", "worse")}
KNOWN = [name for names in COLUMNS.values() for name in names]
NUMBER = re.compile(r"[+-]?(\d+(\.\d+)?|\.\d+)([eE][+-]?\d+)?")
"""A whole number or a decimal one; "0." is what is left of one whose writing was interrupted."""
YES_NO = {"true": True, "false": False}


@dataclass(frozen=True)
class Row:
    """A row. place: what an error calls it, its line included. values: column -> text, or a value of JSON."""

    place: str
    values: dict[str, Any]


# ---------------------------------------------------------------- the two ways to write a table


def load_csv(file: Path) -> Labels:
    """A CSV file in UTF-8 whose first line names the columns, separated by commas.

    Raises:  LabelsError as `load_labels` does.
    """
    reader = csv.reader(io.StringIO(_text(file), newline=""), strict=True)
    try:
        header = next(reader, [])
        _refuse_header(header, file)
        return rows_to_labels(list(_csv_rows(reader, header, file)), file, header)
    except csv.Error as error:
        raise LabelsError(
            f"line {reader.line_num} of {file} is no CSV ({error}); complete it, or delete it if it is half written."
        ) from None


def _refuse_header(header: Sequence[str], file: Path) -> None:
    """Refuse a first line that names columns which are unknown, or twice.

    Raises:  LabelsError.
    """
    if not header:
        raise LabelsError(f"{file} is empty; its first line names the columns: image,grade or better,worse.")
    for name in header:
        if name not in KNOWN:
            semicolons = " Separate the columns by commas." if ";" in name else ""
            raise LabelsError(f"line 1 of {file}: {unknown('column', name, KNOWN)}{semicolons}")
    if twice := [name for name in header if header.count(name) > 1]:
        raise LabelsError(f"line 1 of {file} names the column {twice[0]} twice; keep one.")


def _csv_rows(reader: Any, header: Sequence[str], file: Path) -> Iterator[Row]:
    for cells in reader:
        place = f"line {reader.line_num} of {file}"
        if not cells:  # an empty line
            continue
        if len(cells) != len(header):
            raise LabelsError(
                f"{place} should have {len(header)} cells, one for each column, and has {len(cells)}; complete it, or "
                'delete it if it is half written. A path with a comma in it stands in "quotation marks".'
            )
        values: dict[str, Any] = dict(zip(header, cells, strict=True))
        for name in ("grade", "tie"):
            if name in values:
                values[name] = _value_of(values[name])
        yield Row(place, values)


def _value_of(text: str) -> Any:
    """A number, a yes or no, None for nothing, or the text itself where it is none of them."""
    text = text.strip()
    if NUMBER.fullmatch(text):
        return float(text)
    return YES_NO.get(text.lower(), text or None)


def load_json_lines(file: Path) -> Labels:
    """A file with one JSON object in each line, in UTF-8.

    Raises:  LabelsError as `load_labels` does.
    """
    rows = []
    for number, line in enumerate(_text(file).split("\n"), 1):
        if line.strip():
            rows.append(Row(f"line {number} of {file}", _json_object(line, f"line {number} of {file}")))
    if not rows:
        raise LabelsError(f'{file} has no labels; a line is {{"image": "a.png", "grade": 1}}.')
    return rows_to_labels(rows, file)


def _json_object(line: str, place: str) -> dict[str, Any]:
    """One line, as an object without a name that stands in it twice.

    Raises:  LabelsError.
    """

    def single(found: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in found]
        if twice := [name for name in names if names.count(name) > 1]:
            raise LabelsError(f"{place} names {twice[0]} twice; keep one.")
        return dict(found)

    try:
        values = json.loads(line, object_pairs_hook=single)
    except (ValueError, RecursionError) as error:
        raise LabelsError(f"{place} is no JSON ({error}); complete it, or delete it if it is half written.") from None
    if not isinstance(values, dict):
        raise LabelsError(f'{place} is no JSON object; a line is {{"image": "a.png", "grade": 1}}.')
    for name in values:
        if name not in KNOWN:
            raise LabelsError(f"{place}: {unknown('column', name, KNOWN)}")
    return values


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise LabelsError(f"line {line} of {file} is not UTF-8; save the table in that encoding.") from None
    except OSError as error:
        raise LabelsError(f"{file} cannot be read ({error.strerror or error}); give read permission.") from error


# ---------------------------------------------------------------- what the columns mean


def rows_to_labels(rows: Sequence[Row], file: Path, header: Sequence[str] | None = None) -> Labels:
    """Labels of the rows of a table.

    Args:    header: the columns, where they are named once; each row has its own otherwise.
    Raises:  LabelsError for rows of both kinds, for missing columns, and for values that are none.
    """
    named = header if header is not None else rows[0].values
    first = f"line 1 of {file}" if header is not None else rows[0].place
    kind: Kind = "pairs" if any(name in COLUMNS["pairs"] for name in named) else "grades"
    _refuse_columns(named, kind, first)
    if not rows:
        raise LabelsError(f"{file} has no labels; add a line for each of them.")
    for row in rows:
        _refuse_columns(row.values, kind, row.place)
    return _grades(rows, file) if kind == "grades" else _pairs(rows, file)


def _refuse_columns(named: Sequence[str] | dict[str, Any], kind: Kind, place: str) -> None:
    if missing := [name for name in NEEDED[kind] if name not in named]:
        raise LabelsError(f"{place} has no {' and no '.join(missing)}; {kind} have {' and '.join(NEEDED[kind])}.")
    if other := [name for name in named if name not in COLUMNS[kind]]:
        raise LabelsError(f"{place} has {other[0]} beside {NEEDED[kind][0]}; a table has grades or pairs. Make two.")


@dataclass
class Files:
    """The pictures that a table names, each once. numbers: file -> its number. named: file -> the place of its row."""

    folder: Path
    listed: list[tuple[str, Path]] = field(default_factory=list)
    numbers: dict[Path, int] = field(default_factory=dict)
    named: dict[Path, str] = field(default_factory=dict)

    def number(self, path: Any, row: Row, once: bool = False) -> int:
        """The number of a picture.

        Args:    once: whether it may be named once only.
        Raises:  LabelsError for a path that is none or that `checked` refuses, and for a picture named twice.
        """
        if not isinstance(path, str) or not path.strip():
            raise LabelsError(f"{row.place} names no picture ({path!r}); give its path, or delete the line.")
        place = f"{path} ({row.place})"
        absolute = Path(path).is_absolute()
        file = checked(self.folder / path, place, None if absolute else self.folder)
        if file not in self.numbers:
            self.numbers[file], self.named[file] = len(self.listed), row.place
            self.listed.append((place, file))
        elif once:
            raise LabelsError(f"{place} has a grade already in {self.named[file]}; keep one of the two.")
        return self.numbers[file]

    def labels(self, source: Path, kind: Kind, preference: np.ndarray, **given: Any) -> Labels:
        return Labels(
            source, kind, preference, tuple(place for place, _ in self.listed), from_files(self.listed), **given
        )


def _grades(rows: Sequence[Row], file: Path) -> Labels:
    files, preference = Files(file.parent), []
    for row in rows:
        files.number(row.values["image"], row, once=True)
        preference.append(_grade(row))
    return files.labels(file, "grades", np.array(preference, dtype=np.float64))


def _grade(row: Row) -> float:
    value = row.values["grade"]
    if isinstance(value, int | float) and 0 <= value <= 1:  # True is 1, and NaN is in no range
        return float(value)
    raise LabelsError(
        f"{row.place} has the grade {value!r}; a grade is true, false or a number from 0 (disliked) to 1 (liked). Map "
        "your scale: one to five stars to 0, 0.25, 0.5, 0.75, 1. A picture without a grade is left out."
    )


def _pairs(rows: Sequence[Row], file: Path) -> Labels:
    files, found, seen = Files(file.parent), {False: [], True: []}, {}
    for row in rows:
        pair = files.number(row.values["better"], row), files.number(row.values["worse"], row)
        if pair[0] == pair[1]:
            raise LabelsError(f"{row.place} compares a picture with itself; delete it.")
        if (before := seen.setdefault(frozenset(pair), row.place)) != row.place:
            raise LabelsError(f"{row.place} compares the pictures of {before} again; keep one of the two.")
        found[_tie(row)].append(pair)
    pairs, ties = (np.array(found[tie], dtype=np.int64).reshape(-1, 2) for tie in (False, True))
    return files.labels(file, "pairs", np.full(len(files.listed), np.nan), pairs=pairs, ties=ties)


def _tie(row: Row) -> bool:
    value = row.values.get("tie")
    if value is None:  # the column may be left out, and a cell may be empty
        return False
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    raise LabelsError(f"{row.place} has the tie {value!r}; it is true where both are liked equally, false otherwise.")
