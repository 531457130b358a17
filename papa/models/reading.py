"""Reading what diffusers wrote: whatever is wrong with a folder, the error names it, and the part of it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from papa.errors import ArtefactError, PapaError

INDEX = "model_index.json"


@contextmanager
def reading(place: str | Path, kind: str, needs: str) -> Iterator[None]:
    """A block that loads a folder, or a name on a hub.

    Args:    kind: what it is loaded as, "a pipeline". needs: what the folder has to hold.
    Raises:  ArtefactError for whatever the block raises, but a lack of memory.
    """
    try:
        yield
    except (PapaError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a wrong value in a part's config raises whatever Python makes of it
        part = broken_part(Path(place))
        where = f"{part}: " if part else ""
        raise ArtefactError(f"{place} cannot be loaded as {kind} ({where}{error}); it needs {needs}.") from error


def index_of(place: Path) -> dict[str, Any]:
    """A folder's index: part -> library and class, and `_class_name`; empty where there is no readable one."""
    try:
        index = json.loads((place / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return index if isinstance(index, dict) else {}


def broken_part(place: Path) -> str | None:
    """The first part of a folder that cannot be loaded by itself; None where all can, or no index names them."""
    for part, made_by in index_of(place).items():
        if not (isinstance(made_by, list) and made_by[0] in ("diffusers", "transformers") and (place / part).is_dir()):
            continue
        try:
            getattr(importlib.import_module(made_by[0]), made_by[1]).from_pretrained(place / part)
        except Exception:  # the error at hand is reported, and this says where it comes from
            return part
    return None
