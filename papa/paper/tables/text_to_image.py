"""T2: text-to-image alignment of every compared method, per user and over all users: T1 with what prompts add."""

from __future__ import annotations

import pandas as pd

from papa.benchmark.grid import Grid
from papa.paper import select
from papa.paper.tables import Made, alignment

SHOWN: alignment.Shown = {
    "preference_gold": ("preference (gold) ↑", 3),
    "preference_held_out": ("held-out CLIP ↑", 3),
    "retention_held_out": ("retention ↑", 3),
} | {name: shown for name, shown in alignment.SHOWN.items() if not name.startswith("preference_")}
SAID = (
    "Text-to-image alignment to one user's taste: share of final samples that the OpenCLIP behind the labels (gold) "
    "and an OpenCLIP never queried (held-out) count as liked; retention: with a prompt "
    "that asks for something else, how often that is drawn, by the held-out OpenCLIP (the base's row is what there was "
    "to retain); distance to reference images of the preferred concepts; diversity, in the features of a network of "
    "its own; cost."
)


def make(table: pd.DataFrame, grid: Grid) -> Made:
    """T2 from the long table."""
    return alignment.build(table[select.prompted_rows(table, grid)], grid, SHOWN, SAID)
