"""Fair search for settings: the best try of each candidate.

A configuration of a search has one block of its grid for each candidate, and the methods of that block are its tries.
All candidates have equally many, on the same users and seeds. The choice is by gold preference when all labels are
used, among the tries that keep `KEPT` of the base's diversity within liked images; if none does, that which keeps most.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from papa.benchmark.config import Block
from papa.benchmark.grid import BASE, Grid
from papa.errors import SettingsError
from papa.files import write_atomic
from papa.paper import report, select
from papa.paper.report import MEASURES
from papa.paper.select import KEPT
from papa.paper.stats import Estimate

COLUMNS = ("preference_gold", "preference_held_out", "liked_distance_ratio", "forward", "backward")


@dataclass(frozen=True)
class Try:
    """A try of a candidate. found: metric -> mean over users and seeds. whole: whether no run diverged."""

    candidate: str
    method: str
    changes: dict[str, Any]
    found: dict[str, Estimate]
    whole: bool

    @property
    def preference(self) -> float:
        return self.found["preference_gold"].mean if self.whole else math.nan

    @property
    def kept(self) -> float:
        """Share of the base's diversity within liked images; 0 where a run has fewer than two liked samples."""
        ratio = self.found["liked_distance_ratio"]
        return ratio.mean if self.whole and ratio.n == self.found["preference_gold"].n else 0.0


def candidates(grid: Grid) -> dict[str, Block]:
    """The blocks of a search.

    Raises:  SettingsError where one has more tries, or other users or seeds, than another, or only one try.
    """
    blocks = {label: block for label, block in grid.config.grid.items() if BASE not in block.methods}
    terms = {(len(block.methods), block.task, *block.users, *block.seeds) for block in blocks.values()}
    if len(terms) != 1:
        raise SettingsError(
            "these blocks are no fair search: give every candidate as many tries as the others, on the same task, for "
            "the same users and seeds (config/tuning.yaml is one)."
        )
    if min(len(block.methods) for block in blocks.values()) < 2:
        raise SettingsError("each candidate has one try, so there is nothing to choose.")
    return blocks


def tries(table: pd.DataFrame, grid: Grid) -> dict[str, list[Try]]:
    """Candidate -> its tries, in the order of the configuration.

    Raises:  SettingsError as `candidates` does.
    """
    table = select.check(table)

    def measured(label: str, block: Block, method: str) -> Try:
        found = {
            metric: select.estimate(select.values(table, block.task, method, metric, block.users), grid, block.users)
            for metric in COLUMNS
        }
        return Try(
            label,
            method,
            dict(grid.config.methods[method]),
            found,
            whole=not select.diverged(table, block.task, method, block.users),
        )

    return {
        label: [measured(label, block, method) for method in block.methods] for label, block in candidates(grid).items()
    }


def chosen(of: list[Try]) -> Try:
    """The try that becomes the settings of its candidate; the first one where none ran to its end."""
    whole = [entry for entry in of if entry.whole] or of[:1]
    allowed = [entry for entry in whole if entry.kept >= KEPT]
    return max(allowed, key=lambda t: t.preference) if allowed else max(whole, key=lambda t: t.kept)


def write(table: pd.DataFrame, grid: Grid, folder: Path, source: str) -> list[Path]:
    """Write the settings that were chosen, as a configuration to extend, and the record of the search.

    Args:    source: the configuration of the search, for readers of the files.
    Returns: `tuned.yaml`, `tuning.csv` and `tuning.md` in `folder`.
    Raises:  SettingsError as `candidates` does; OSError.
    """
    table = select.check(table)
    found = tries(table, grid)
    picked = {label: chosen(of) for label, of in found.items()}
    search = f"snakemake tune --configfile {os.path.relpath(source)}"
    about = f"Chosen by `{search}`; the record of the search is in tuning.md beside it."
    methods = {label: {"algorithm": grid.methods[of.method].name} | of.changes for label, of in picked.items()}
    settings = yaml.safe_dump({"methods": methods}, sort_keys=False, width=110)
    return [
        write_atomic(folder / "tuned.yaml", f"# {about}\n\nextends: ../config.yaml\n\n{settings}"),
        report.write_csv(folder / "tuning.csv", _frame(found, picked)),
        write_atomic(folder / "tuning.md", _markdown(found, picked, grid, table)),
    ]


def _frame(found: dict[str, list[Try]], picked: dict[str, Try]) -> pd.DataFrame:
    rows = [
        {"candidate": label, "method": entry.method, "metric": metric, "chosen": entry is picked[label]}
        | report.columns(value)
        for label, of in found.items()
        for entry in of
        for metric, value in entry.found.items()
    ]
    return pd.DataFrame(rows)


def _markdown(found: dict[str, list[Try]], picked: dict[str, Try], grid: Grid, table: pd.DataFrame) -> str:
    block = next(iter(candidates(grid).values()))
    rows = [
        [
            label,
            ", ".join(f"{key}: {value}" for key, value in entry.changes.items() if key != "algorithm") or "defaults",
            *(report.number(entry.found[metric].mean, MEASURES[metric].digits) for metric in COLUMNS),
            "diverged" if not entry.whole else "yes" if entry is picked[label] else "",
        ]
        for label, of in found.items()
        for entry in of
    ]
    about = report.caption(
        "The tries of each candidate",
        f"Means over seeds. Chosen: the highest preference among those that keep {KEPT:g} of the base's distance "
        "within liked images, or else the one that keeps most.",
        report.scope(table, grid, [block.task], [entry.method for of in found.values() for entry in of], block.users),
    )
    heads = ["candidate", "settings", *(MEASURES[metric].heading for metric in COLUMNS), "chosen"]
    return f"{about}\n{report.markdown(heads, rows, left=2)}"
