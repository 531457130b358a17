"""Labels of existing images, as the first round of a session.

    labels = papa.load_labels("rated/")  # a folder with liked/ and disliked/, or a table: .csv, .jsonl or .parquet
    session = Session(model, "papa", labels=80, given=labels, log="me.jsonl")

`docs/labels.md` describes the layouts. Images are read when a session begins, once each and a few at a time, so a large
set needs little memory. Imports no torch: the command `papa labels` and errors in a table are quick.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image, ImageOps

from papa.errors import DivergedError, LabelsError
from papa.feedback import Feedback, Query
from papa.images import decode
from papa.settings import unknown

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow.parquet

    from papa.models.interface import Model

Kind = Literal["grades", "pairs"]
"""A label in [0, 1] of each image, or comparisons of two images."""
GRADES = {"liked": 1.0, "disliked": 0.0}
"""Folder -> label of the images in it."""
COLUMNS: dict[Kind, tuple[str, ...]] = {"grades": ("image", "label"), "pairs": ("winner", "loser", "tie")}
"""Columns of a table; `tie` is optional."""
CHUNK = 16
"""Images that are encoded at a time. Another number may change the last bits."""
BATCH = 256
"""Rows of a parquet file whose images are read at a time."""
DIGITS = 16
"""Hexadecimal digits of an image's sha256 in a log."""


def _no_pairs() -> np.ndarray:
    return np.empty((0, 2), dtype=np.int64)


@dataclass(frozen=True)
class LabelledImage:
    """An image that was read. pixels: (H, W, 3) uint8. size: (width, height) before it was fitted. digest: sha256."""

    pixels: np.ndarray
    size: tuple[int, int]
    digest: str


@dataclass(frozen=True)
class Labels:
    """Labels as `load_labels` reads them, of images that are read later.

    Attributes:
        source: the folder or file.
        kind: "grades" or "pairs".
        preference: (n,) float64 labels in [0, 1], 1 is liked; NaN where the labels are pairs.
        places: name of each image in errors.
        contents: gives, for each image in order, its file or its bytes (None if they are missing).
        pairs: (m, 2) int64 image numbers (winner, loser).
        ties: (t, 2) int64 image numbers.
        notes: what was left out.
    """

    source: Path
    kind: Kind
    preference: np.ndarray
    places: Sequence[str]
    contents: Callable[[], Iterable[Path | bytes | None]] = field(repr=False)
    pairs: np.ndarray = field(default_factory=_no_pairs)
    ties: np.ndarray = field(default_factory=_no_pairs)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of images."""
        return len(self.preference)

    def images(self, size: tuple[int, int] | None = None, problems: list[str] | None = None) -> Iterator[LabelledImage]:
        """Read the images, one after another.

        Args:
            size: (height, width) that each is fitted to: the largest centred part of that shape, resized (bicubic,
                antialiased). By default images keep their size.
            problems: collects errors, and their images are skipped; by default the first error is raised.
        """
        seen: dict[str, str] = {}
        for place, content in zip(self.places, self.contents(), strict=True):
            try:
                image = _read(place, content, size)
                if self.kind == "grades" and (before := seen.setdefault(image.digest, place)) != place:
                    raise LabelsError(f"{place} is the same image as {before}; keep one of them, with one label.")
            except LabelsError as error:
                if problems is None:
                    raise
                problems.append(str(error))
                continue
            yield image


def _read(place: str, content: Path | bytes | None, size: tuple[int, int] | None) -> LabelledImage:
    try:
        data = content.read_bytes() if isinstance(content, Path) else content
        if not data:
            raise LabelsError(f"{place} is missing or empty; supply the image, or leave it out.")
        image = decode(data)
    except OSError as error:
        raise LabelsError(f"{place} cannot be read ({error.strerror or error}); supply the image there.") from error
    except ValueError as error:
        raise LabelsError(f"{place}: {error}. Save it as PNG or JPEG, or leave it out.") from error
    before = image.size
    if size is not None and before != (size[1], size[0]):
        image = ImageOps.fit(image, (size[1], size[0]), method=Image.Resampling.BICUBIC)
    return LabelledImage(np.asarray(image), before, hashlib.sha256(data).hexdigest())


def load_labels(source: str | Path, user: str | None = None) -> Labels:
    """Read labels of existing images.

    Args:
        source: a folder with `liked/` and `disliked/`; a table (.csv, .jsonl or .parquet) with the columns image and
            label, or winner, loser and optionally tie; or a parquet file in Pick-a-Pic's layout.
        user: of a Pick-a-Pic file, whose rows; required if it has rows of several users.

    Returns:
        The labels. Images are read by the session, or all at once by the command `papa labels SOURCE`.

    Raises:
        LabelsError: names the file and the row, and says what to do.
    """
    place = Path(source)
    if not place.exists():
        raise LabelsError(f"{place} does not exist; name a folder, or a .csv, .jsonl or .parquet file.")
    if place.suffix.lower() == ".parquet" and set(IMAGES) & set(opened(place).schema_arrow.names):
        return _pick_a_pic(place, user)
    if user is not None:
        raise LabelsError(f"{place} names no users; `user` is for files in Pick-a-Pic's layout. Leave it out.")
    return _folder(place) if place.is_dir() else _table(_frame(place), place)


def _folder(folder: Path) -> Labels:
    for entry in folder.iterdir():
        if entry.name not in GRADES and not entry.name.startswith("."):
            raise LabelsError(
                f"{entry} has no label: {unknown('entry', entry.name, GRADES)} Move images into liked/ and disliked/."
            )
    found = [
        (file, label)
        for name, label in GRADES.items()
        for file in (sorted((folder / name).iterdir()) if (folder / name).is_dir() else [])
        if not file.name.startswith(".")
    ]
    if not found:
        raise LabelsError(f"{folder} has no images; put some into {folder / 'liked'} and {folder / 'disliked'}.")
    files = [file for file, _ in found]
    preference = np.array([label for _, label in found])
    return Labels(folder, "grades", preference, [str(file) for file in files], lambda: files)


def _frame(file: Path) -> pd.DataFrame:
    """A table as it is, one row each; in CSV, cells are text."""
    import pandas as pd

    suffix = file.suffix.lower()
    try:
        if suffix == ".csv":
            plain: Any = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig", "skipinitialspace": True}
            frame = pd.read_csv(file, **plain)
            if not isinstance(frame.index, pd.RangeIndex):
                raise ValueError('rows have more cells than the header; put paths with commas in "quotation marks"')
            return frame
        if suffix in (".jsonl", ".ndjson"):
            lines = file.read_text(encoding="utf-8-sig").split("\n")
            return pd.DataFrame([json.loads(line) for line in lines if line.strip()])
        if suffix == ".parquet":
            return pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise LabelsError(f"{file} cannot be read as a table in UTF-8 ({error}); correct it there.") from error
    raise LabelsError(f"{file} has no known layout; labels are a folder, or a .csv, .jsonl or .parquet file.")


def _table(frame: pd.DataFrame, file: Path) -> Labels:
    kind: Kind = "pairs" if {"winner", "loser"} & set(frame.columns) else "grades"
    for name in frame.columns:
        if name not in COLUMNS[kind]:
            raise LabelsError(f"{file}: {unknown('column', str(name), COLUMNS[kind])}")
    if len(missing := set(COLUMNS[kind][:2]) - set(frame.columns)) or frame.empty:
        what = f"no column {min(missing)!r}" if missing else "no rows"
        raise LabelsError(f"{file} has {what}; a table has the columns image,label or winner,loser[,tie] and labels.")
    return _graded(frame, file) if kind == "grades" else _compared(frame, file)


def _graded(frame: pd.DataFrame, file: Path) -> Labels:
    preference = frame["label"].map(_number).to_numpy(np.float64)
    for row in np.flatnonzero(~((preference >= 0) & (preference <= 1))):
        raise LabelsError(
            f"row {row + 1} of {file} has the label {frame['label'].iloc[row]!r}; a label is true, false or a number "
            "from 0 (disliked) to 1 (liked). Map other scales, for example one to five stars to 0, 0.25, 0.5, 0.75, 1."
        )
    places = [f"{path} (row {row} of {file})" for row, path in enumerate(frame["image"], 1)]
    files = [_image_file(path, place, file.parent) for path, place in zip(frame["image"], places, strict=True)]
    return Labels(file, "grades", preference, places, lambda: files)


def _compared(frame: pd.DataFrame, file: Path) -> Labels:
    import pandas as pd

    numbers, paths = pd.factorize(frame[["winner", "loser"]].to_numpy(object).ravel())
    both = numbers.reshape(-1, 2).astype(np.int64)
    for row in np.flatnonzero((both < 0).any(1) | (both[:, 0] == both[:, 1])):
        raise LabelsError(f"row {row + 1} of {file} does not compare two images; complete it, or delete it.")
    tie = np.array([_number(value, blank=0) for value in frame.get("tie", [0] * len(frame))])
    for row in np.flatnonzero((tie != 0) & (tie != 1)):
        raise LabelsError(
            f"row {row + 1} of {file} has the tie {frame['tie'].iloc[row]!r}; it is true, false or empty."
        )
    first = pd.Series(numbers).drop_duplicates().index // 2 + 1  # the row that names an image first
    places = [f"{path} (row {row} of {file})" for row, path in zip(first, paths, strict=True)]
    files = [_image_file(path, place, file.parent) for path, place in zip(paths, places, strict=True)]
    pairs, ties = both[tie != 1], both[tie == 1]
    return Labels(file, "pairs", np.full(len(files), np.nan), places, lambda: files, pairs, ties)


def _number(value: Any, blank: float = float("nan")) -> float:
    """A cell as a number; NaN for other text."""
    text = str(value).strip().lower()
    known = {"true": 1.0, "false": 0.0, "": blank, "none": blank, "nan": blank}
    try:
        return known[text] if text in known else float(text)
    except ValueError:
        return float("nan")


def _image_file(path: Any, place: str, folder: Path) -> Path:
    """The file of an image that a table names; paths are relative to the table's folder."""
    if isinstance(path, str) and path and os.path.isfile(folder / path):
        return folder / path
    hint = ""
    if "\\" in str(path):
        hint = " Write / between folders, not \\."
    elif str(path) != str(path).strip():
        hint = " Its name begins or ends with a blank."
    elif "://" in str(path):
        hint = " Download it first."
    raise LabelsError(f"{place} is no file; paths are relative to {folder}.{hint} Correct the row, or leave it out.")


# Columns: jpg_0, jpg_1 (bytes of an encoded image), label_0, label_1 (1 and 0, or one half each for a tie), and where
# they exist user_id and has_label. Source: Kirstain et al. 2023, "Pick-a-Pic" (arXiv 2305.01569).

IMAGES, CHOICE = ("jpg_0", "jpg_1"), ("label_0", "label_1")


def opened(file: Path, needed: Sequence[str] = ()) -> pyarrow.parquet.ParquetFile:
    """Open a parquet file that must have the needed columns."""
    import pyarrow
    import pyarrow.parquet

    try:
        source = pyarrow.parquet.ParquetFile(file)
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise LabelsError(f"{file} cannot be read as a parquet file ({error}); fetch or write it again.") from error
    if missing := [name for name in needed if name not in source.schema_arrow.names]:
        raise LabelsError(f"{file} has no column {', '.join(missing)}; Pick-a-Pic has {', '.join(needed)}.")
    return source


def label_of(first: float | None, second: float | None, place: str) -> float | None:
    """Label of a pair: 1.0 if the first is preferred, 0.0 if the second is, 0.5 for a tie, None without a label."""
    if first is None or second is None or np.isnan(first) or np.isnan(second):
        return None
    if (first, second) not in {(1, 0), (0, 1), (0.5, 0.5)}:
        raise LabelsError(
            f"{place} has the labels {first:g} and {second:g}; they are 1 and 0, 0 and 1, or 0.5 and 0.5."
        )
    return float(first)


def image_bytes(cell: Any) -> bytes | None:
    """The encoded image of a cell: bytes, or a struct with the field `bytes` (an Image feature of Hugging Face)."""
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    return data if isinstance(data, bytes) else None


def _pick_a_pic(file: Path, user: str | None) -> Labels:
    """The pairs of one user; image 2 i is the first of pair i, and 2 i + 1 the second. Captions are not used."""
    import pandas as pd

    source = opened(file, [*IMAGES, *CHOICE])
    columns = [name for name in (*CHOICE, "user_id", "has_label") if name in source.schema_arrow.names]
    try:
        frame = source.read(columns).to_pandas()
    except (OSError, ValueError) as error:
        raise LabelsError(f"{file} is broken ({error}); fetch or write it again.") from error
    frame[[*CHOICE]] = frame[[*CHOICE]].apply(pd.to_numeric, errors="coerce")
    if "has_label" in frame:
        frame.loc[frame["has_label"].eq(False), [*CHOICE]] = np.nan
    frame = _rows_of(frame, user, file)
    said = {row: label_of(a, b, f"row {row} of {file}") for row, a, b in frame[[*CHOICE]].itertuples()}
    rows = [row for row, label in said.items() if label is not None]
    if not rows:
        raise LabelsError(f"{file} has no pairs with a label{'' if user is None else f' of user {user!r}'}.")
    label = np.array([said[row] for row in rows], dtype=np.float64)
    both = np.arange(2 * len(rows), dtype=np.int64).reshape(-1, 2)
    both[label == 0] = both[label == 0][:, ::-1]
    left = len(frame) - len(rows)
    return Labels(
        file,
        "pairs",
        np.full(2 * len(rows), np.nan),
        [f"{name} in row {row} of {file}" for row in rows for name in IMAGES],
        lambda: _cells(file, rows),
        both[label != 0.5],
        both[label == 0.5],
        (f"{left} rows without a label are left out",) if left else (),
    )


def _rows_of(frame: pd.DataFrame, user: str | None, file: Path) -> pd.DataFrame:
    """The rows of a user, or all rows if there is only one."""
    if "user_id" not in frame:
        frame = frame.assign(user_id=None)
    ids = frame["user_id"].dropna().astype(str)
    counts = ids.value_counts()
    most = f"Users with most rows: {', '.join(f'{name} ({n})' for name, n in counts.head(3).items()) or 'none'}."
    if user is None and len(counts) > 1:
        raise LabelsError(f"{file} has rows of {len(counts)} users; choose one with `user` (--user). {most}")
    if user is not None and user not in counts:
        raise LabelsError(f"{file} has no rows of user {user!r}. {most}")
    return frame if user is None else frame.loc[ids.index[ids == user]]


def _cells(file: Path, rows: Sequence[int]) -> Iterator[bytes | None]:
    wanted, row = set(rows), 0
    for batch in opened(file).iter_batches(BATCH, columns=[*IMAGES]):
        for cells in zip(*(batch[name] for name in IMAGES), strict=True):
            if row in wanted:
                yield from (image_bytes(cell.as_py()) for cell in cells)
            row += 1


def report(labels: Labels) -> tuple[list[str], int]:
    """Read every image: the lines that `papa labels` prints, and the number of problems."""
    problems: list[str] = []
    sizes = Counter(image.size for image in labels.images(problems=problems))
    if labels.kind == "pairs":
        counts = f"{len(labels)} images, {len(labels.pairs)} pairs and {len(labels.ties)} ties"
    else:
        liked, disliked = int((labels.preference > 0.5).sum()), int((labels.preference < 0.5).sum())
        counts = f"{len(labels)} images, {liked} liked and {disliked} disliked"
    lines = [f"{labels.source}: {counts}"]
    if sizes:
        most = ", ".join(f"{width} x {height} ({n})" for (width, height), n in sizes.most_common(3))
        lines.append(f"sizes (width x height): {most}{', ...' if len(sizes) > 3 else ''}")
    lines += [f"note: {note}" for note in labels.notes] + [f"problem: {problem}" for problem in problems[:20]]
    return lines + ([f"problem: {len(problems) - 20} more"] if len(problems) > 20 else []), len(problems)


@dataclass(frozen=True)
class GivenRound:
    """Labels encoded for one model: the query and feedback of a round, and the line of a log that records them."""

    query: Query
    feedback: Feedback
    line: dict[str, Any]


def encode(labels: Labels, model: Model) -> GivenRound:
    """Read the images, fit them to the model's size, and encode them, `CHUNK` at a time."""
    import torch

    latents, marks, digests = [], [], []
    images = labels.images(model.image_size())
    while chunk := list(islice(images, CHUNK)):
        pixels = torch.from_numpy(np.stack([image.pixels for image in chunk]))
        tensor = (pixels.permute(0, 3, 1, 2).float() / 127.5 - 1).to(model.device)
        with torch.no_grad():
            latents.append(model.encode(tensor).to(model.dtype))
        if not torch.isfinite(latents[-1]).all():  # float16 overflows in some autoencoders
            raise DivergedError("the model's encoder returned NaN or infinity for a given image; set dtype: fp32")
        marks += model.marks(tensor)
        digests += [image.digest for image in chunk]
    compared = labels.kind == "pairs"
    pairs, ties = (labels.pairs, labels.ties) if compared else (None, None)
    feedback = Feedback(labels.preference, None, pairs, ties)
    condition = None if model.prompt is None else [model.prompt] * len(labels)
    query = Query(torch.cat(latents), condition, "pairs" if compared else "graded")
    answers = [None if values is None else values.tolist() for values in (feedback.preference, pairs, ties)]
    line = {
        "given": len(labels),
        "sha256": hashlib.sha256("\n".join([*digests, *map(str, answers)]).encode()).hexdigest(),
        "kind": labels.kind,
        "preference": [None if np.isnan(value) else float(value) for value in feedback.preference],
        "pairs": answers[1],
        "ties": answers[2],
        "images": [digest[:DIGITS] for digest in digests],
        "marks": marks,
    }
    return GivenRound(query, feedback, line)
