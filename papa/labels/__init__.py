"""Labels of pictures that exist already, as the first round of a session.

    labels = papa.load_labels("rated/")  # a folder with liked/ and disliked/, a .csv, a .jsonl or a .parquet
    session = Session(model, "papa", labels=80, given=labels, log="me.jsonl")

`docs/labels.md` describes the layouts, what is converted and what is refused. Nothing but `encoding.py` imports torch.
"""

from __future__ import annotations

from pathlib import Path

from papa.errors import LabelsError
from papa.labels.interface import Labels as Labels
from papa.registry import load

FOLDER = "papa.labels.folder:load_folder"
FILES = {
    ".csv": "papa.labels.table:load_csv",
    ".jsonl": "papa.labels.table:load_json_lines",
    ".ndjson": "papa.labels.table:load_json_lines",
    ".parquet": "papa.labels.pick_a_pic:load_pairs",
}
"""Suffix -> what reads it."""


def load_labels(source: str | Path, user: str | None = None) -> Labels:
    """Read labels of pictures.

    What stands in a table, and whether the pictures are there, is checked at once. The pictures themselves are read
    when a session is made with the labels, once each and a few at a time; `papa labels SOURCE` reads them all and lists
    every problem.

    Args:    source: a folder with `liked/` and `disliked/`; a file `.csv`, `.jsonl` or `.ndjson` with the columns image
             and grade, or better, worse and (if need be) tie; or `.parquet` in Pick-a-Pic's layout. user: whose rows of
             a parquet file; needed where it has those of several.
    Raises:  LabelsError that names file and row, and says what to do.
    """
    place = Path(source)
    suffix = place.suffix.lower()
    if not place.exists():
        raise LabelsError(f"{place} is not there; name a folder, or a .csv, .jsonl or .parquet file.")
    if user is not None and (suffix != ".parquet" or place.is_dir()):
        raise LabelsError(f"{place} does not say whose its labels are; give `user` for a .parquet file alone.")
    if place.is_dir():
        return load(FOLDER)(place)
    if suffix not in FILES:
        raise LabelsError(f"{place} is no layout of labels: they are a folder, or a .csv, .jsonl or .parquet file.")
    return load(FILES[suffix])(place) if user is None else load(FILES[suffix])(place, user)
