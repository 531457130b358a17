"""A folder with `liked/` and `disliked/` of pictures."""

from __future__ import annotations

import difflib
from pathlib import Path

import numpy as np

from papa.errors import LabelsError
from papa.labels.interface import Labels, checked, from_files

GRADES = {"liked": 1.0, "disliked": 0.0}
LEFT_BY_SYSTEMS = frozenset({"thumbs.db", "desktop.ini"})
"""Files that a file manager leaves; hidden ones (a dot first) are left out as well."""


def load_folder(folder: Path) -> Labels:
    """Pictures that lie in `liked/` and `disliked/`, in the order of their names; one of the two may be missing.

    Raises:  LabelsError for a folder without pictures, and for anything in it that is neither picture nor left by a
             file manager.
    """
    for entry in _entries(folder):
        if entry.name not in GRADES:
            raise LabelsError(f"{entry} has no label: {_advice(entry)}")
    files, preference = [], []
    for name, grade in GRADES.items():
        if not (folder / name).exists():
            continue
        if not (folder / name).is_dir():
            raise LabelsError(f"{folder / name} is no folder; it must be one, with pictures in it.")
        for entry in _entries(folder / name):
            if entry.is_dir():
                raise LabelsError(f"{entry} is a folder; pictures lie in {folder / name} itself. Move them there.")
            files.append((str(entry), checked(entry, str(entry), folder)))
            preference.append(grade)
    if not files:
        raise LabelsError(f"{folder} has no pictures; put some into {folder / 'liked'} and {folder / 'disliked'}.")
    return Labels(folder, "grades", np.array(preference), tuple(place for place, _ in files), from_files(files))


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name.

    Raises:  LabelsError where it cannot be listed.
    """
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise LabelsError(f"{folder} cannot be read ({error.strerror or error}); give read permission.") from error
    return [entry for entry in found if not entry.name.startswith(".") and entry.name.lower() not in LEFT_BY_SYSTEMS]


def _advice(entry: Path) -> str:
    near = difflib.get_close_matches(entry.name.lower(), GRADES, n=1, cutoff=0.5)
    if entry.is_dir() and near:
        return f"did you mean the folder {near[0]!r}?"
    return "pictures lie in liked/ and disliked/, and nothing else lies beside those. Move it."
