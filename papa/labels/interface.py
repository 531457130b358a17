"""Labels of pictures that exist already: what somebody said of them, and where the pictures are.

The answers are in memory. The pictures are not: they are read when they are asked for, one after the other and once
each, so that a large set needs the memory of a few. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from papa.errors import LabelsError
from papa.labels.pictures import Picture, picture_of

Kind = Literal["grades", "pairs"]
"""A grade of each picture, likes and dislikes among them; or which of two pictures is better."""
Encoded = tuple[str, Callable[[], bytes]]
"""What an error calls a picture, and its file's content, which is read by calling."""
LARGEST_FILE = 2**28
"""Bytes that the file of a picture may have."""


def no_pairs() -> np.ndarray:
    """(0, 2) int64."""
    return np.empty((0, 2), dtype=np.int64)


@dataclass(frozen=True)
class Labels:
    """Labels as `load_labels` reads them.

    Attributes: source: the folder or file. kind: "grades" or "pairs". preference: (n,) float64 in [0, 1], or NaN.
    pairs: (m, 2) int64 numbers of pictures (better, worse). ties: (t, 2) of pictures that are liked equally. places:
    what an error calls each picture. notes: what was left out. encoded: gives the pictures in order, each to be read.
    """

    source: Path
    kind: Kind
    preference: np.ndarray
    places: tuple[str, ...]
    encoded: Callable[[], Iterable[Encoded]] = field(repr=False)
    pairs: np.ndarray = field(default_factory=no_pairs)
    ties: np.ndarray = field(default_factory=no_pairs)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Pictures."""
        return len(self.preference)

    def pictures(self, size: tuple[int, int] | None = None) -> Iterator[Picture]:
        """Read the pictures, one after the other.

        Args:    size: (height, width) that they are fitted to, as `papa.labels.pictures.picture_of` says.
        Raises:  LabelsError for a picture that cannot be read, and for one that was given a grade under another name.
        """
        seen: dict[str, str] = {}
        for place, read in self.encoded():
            yield self.picture(place, read, size, seen)

    def picture(
        self, place: str, read: Callable[[], bytes], size: tuple[int, int] | None, seen: dict[str, str]
    ) -> Picture:
        """Read one picture.

        Args:    place, read: of `encoded`. size: as for `pictures`. seen: digest -> place of those before; this one is
                 added.
        Raises:  as `pictures`.
        """
        picture = picture_of(read(), place, size)
        before = seen.setdefault(picture.digest, place)
        if self.kind == "grades" and before != place:
            raise LabelsError(f"{place} is the same picture as {before}; keep one of them, with one label.")
        return picture


def content(file: Path, place: str) -> bytes:
    """The content of a picture's file.

    Raises:  LabelsError where it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise LabelsError(f"{place} cannot be read ({error.strerror or error}); give read permission.") from error


def from_files(files: Iterable[tuple[str, Path]]) -> Callable[[], Iterator[Encoded]]:
    """Pictures that lie in files of their own. files: what an error calls each, and the file."""
    listed = list(files)

    def encoded() -> Iterator[Encoded]:
        for place, file in listed:
            yield place, lambda file=file, place=place: content(file, place)

    return encoded


def checked(file: Path, place: str, within: Path | None) -> Path:
    """The file of a picture, before it is read.

    Args:    within: the folder that it must not leave, not by a link either; None where the path is absolute.
    Raises:  LabelsError for a path that leaves the folder, for one that is missing or no file, and for one that
             is too large.
    """
    try:
        found = file.resolve()
        if within is not None and not found.is_relative_to(within.resolve()):
            raise LabelsError(
                f"{place} leads out of {within}; put the picture into that folder, or give an absolute path in a table."
            )
        if not found.exists():
            raise LabelsError(f"{place} is not there; put the picture there, or leave its row out.")
        if not found.is_file():
            raise LabelsError(f"{place} is no file; name the picture itself.")
        if (size := found.stat().st_size) > LARGEST_FILE:
            raise LabelsError(f"{place} has {size / 2**20:.0f} MiB; {LARGEST_FILE // 2**20} at most. Make it smaller.")
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, a zero byte in it, a circle of links
        raise LabelsError(f"{place} cannot be found ({error}); name the picture's file.") from error
    return found
