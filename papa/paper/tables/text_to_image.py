"""T2: text-to-image alignment of every compared method, per user and over all users: T1 with what prompts add."""

from __future__ import annotations

import pandas as pd

from papa.benchmark.grid import Grid
from papa.paper import select
from papa.paper.tables import Made, alignment

SHOWN: alignment.Shown = {
    "preference_gold": ("preference (gold) ↑", 3),
    "preference_held_out": ("held-out CLIP ↑", 3),
    "preference_attributes": ("attributes ↑", 3),
    "fid_preferred": ("FID to preferred ↓", 2),
    "pairwise_features_ratio": ("distance / base's", 3),
    "preferred_distance_ratio": ("within preferred / base's ↑", 3),
    "vendi": ("Vendi", 2),
    "retention_held_out": ("retention ↑", 3),
    "ess": ("ESS", 1),
    "unique_ancestors": ("ancestors", 1),
}
SAID = (
    "Text-to-image alignment to one user's taste: share of final samples that the OpenCLIP behind the labels (gold), "
    "an OpenCLIP never queried (held-out) and a classifier of true attributes count as liked; distance to reference "
    "images of the preferred concepts; mean feature distance of two samples over the base's, of all samples (it falls "
    "where other concepts go, as they should) and of those that are liked against the base's liked ones; retention: "
    "with a prompt that asks for something else, how often that is drawn, by the held-out OpenCLIP (the base's row is "
    "what there was to retain)."
)


def make(table: pd.DataFrame, grid: Grid) -> Made:
    """T2 from the long table."""
    return alignment.build(table[select.prompted_rows(table, grid)], grid, SHOWN, SAID)
