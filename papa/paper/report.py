"""How results are written: names of measures, numbers, Markdown and captions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tabulate import tabulate

from papa.benchmark.grid import BASE, Grid
from papa.benchmark.personal.population import OFFLINE, SEEN
from papa.files import write_atomic
from papa.paper import select
from papa.paper.stats import Estimate

NOTHING = "–"
EMPTY = "Nothing of this ran."


class Measure(NamedTuple):
    """The name of a measure, its decimals, and an arrow where more or less of it is better."""

    name: str
    digits: int = 3
    arrow: str = ""

    @property
    def heading(self) -> str:
        """The name with the arrow, for a table."""
        return f"{self.name} {self.arrow}".strip()


MEASURES: dict[str, Measure] = {
    "preference_gold": Measure("preference (gold)", 3, "↑"),
    "preference_held_out": Measure("preference (held-out)", 3, "↑"),
    "retention_held_out": Measure("prompt retention", 3, "↑"),
    "fid_preferred": Measure("FID to preferred (floor)", 2, "↓"),
    "distance_ratio": Measure("pairwise distance (rel. to oracle mixture)"),
    "liked_distance_ratio": Measure("distance within liked (rel. to base)"),
    "served_nearest_ratio": Measure("NN distance within a batch (rel.)"),
    "served_unique": Measure("images without a near copy", 1),
    "entropy": Measure("entropy"),
    "ess": Measure("ESS", 1),
    "unique_ancestors": Measure("ancestors", 1),
    "labels": Measure("labels", 1),
    "train": Measure("training evaluations", 0),
    "forward": Measure("forward evaluations", 0),
    "backward": Measure("backward evaluations", 0),
    "frozen": Measure("evaluations of the frozen base", 0),
    "sample": Measure("evaluations / image", 1),
    "amortized_cost_100": Measure("amortized over 100 images", 1),
    "seconds": Measure("seconds", 1),
    "peak_memory": Measure("memory (MiB)", 0),
}
"""Names of measures in tables and figures."""
DIVERSITY = ("distance_ratio", "liked_distance_ratio", "served_nearest_ratio")
"""Three measures of diversity: of all samples, of liked samples, and within one batch."""


def name_of(metric: str) -> str:
    """The name of a measure, for axes."""
    return MEASURES[metric].name


def write_csv(path: Path, frame: pd.DataFrame) -> Path:
    """Write raw values atomically; an empty field is a missing value."""
    return write_atomic(path, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


# ---------------------------------------------------------------- numbers


def number(value: float, digits: int = 3) -> str:
    """`digits` decimals, or none from 10^digits on; a dash for NaN."""
    if not math.isfinite(value):
        return NOTHING
    return f"{value:.{digits}f}" if abs(value) < 10**digits else f"{value:,.0f}"


def plus_minus(found: Estimate, digits: int = 3) -> str:
    """`0.853 ± 0.012`, the half width of the interval; the mean alone where there is no interval."""
    if not math.isfinite(found.half_width) or found.how == "constant":
        return number(found.mean, digits)
    return f"{number(found.mean, digits)} ± {number(found.half_width, digits)}"


def signed(found: Estimate, digits: int = 3) -> str:
    """`+0.050 [-0.010, +0.110]`; the mean alone where there is no interval."""
    if not math.isfinite(found.mean):
        return NOTHING
    interval = f" [{found.lower:+.{digits}f}, {found.upper:+.{digits}f}]" if math.isfinite(found.half_width) else ""
    return f"{found.mean:+.{digits}f}{interval}"


def columns(found: Estimate, prefix: str = "") -> dict[str, float | int]:
    """An estimate as columns of a tidy CSV."""
    names = [prefix, f"{prefix}_lower", f"{prefix}_upper", f"{prefix}_seeds"]
    names = names if prefix else ["mean", "lower", "upper", "n_seeds"]
    return dict(zip(names, (found.mean, found.lower, found.upper, found.n), strict=True))


def estimate_of(row: Mapping[str, float]) -> Estimate:
    """The estimate in a row of a tidy CSV."""
    how = "constant" if row["lower"] == row["upper"] else "t"
    return Estimate(row["mean"], row["lower"], row["upper"], int(row["n_seeds"]), how)


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table whose first `left` columns are left-aligned and the others right-aligned."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    align = ["left" if column < left else "right" for column in range(len(headers))]
    return (
        tabulate(cells, list(headers), tablefmt="pipe", colalign=align if rows else None, disable_numparse=True) + "\n"
    )


# ---------------------------------------------------------------- captions


def caption(title: str, *sentences: str) -> str:
    """A caption: a short title, then sentences; empty ones are left out."""
    return " ".join(filter(None, (f"{title}.", *sentences))) + "\n"


def scope(table: pd.DataFrame, grid: Grid, tasks: Sequence[str], methods: Sequence[str], users: Sequence[str]) -> str:
    """Summary of the runs: labels, users, seeds and samples, diverged runs, commit and machine."""
    asking = [grid.methods[m].settings.labels for m in methods if m in grid.methods and m != BASE]
    labels = " or ".join(str(count) for count in sorted({*asking}))
    parts = [
        f"{labels} labels" if labels else "",
        plural(len(set(users)), "user"),
        plural(len(select.seeds_of(table, tasks, methods)), "seed"),
        f"{samples(grid, tasks, 'final')} samples per run",
    ]
    counts = {m: sum(select.diverged(table, task, m) for task in tasks) for m in methods}
    lost = ", ".join(f"{method} ({plural(count, 'run')})" for method, count in counts.items() if count)
    about = table.attrs.get("about", "")
    return " ".join(filter(None, (f"{', '.join(filter(None, parts))}.", f"Diverged: {lost}." * bool(lost), about)))


def offline_sentence(grid: Grid, methods: Sequence[str]) -> str:
    """Which methods begin with an adapter that was trained on offline pairs of other users."""
    given = [name for name in methods if name in grid.methods and grid.methods[name].settings.needs_adapter]
    return f"{', '.join(given)}: adapter trained on {SEEN * OFFLINE:,} pairs of {SEEN} other users." if given else ""


def named(grid: Grid, methods: Sequence[str]) -> dict[str, str]:
    """Method -> its name in a table, with its number of labels where those differ."""
    labels = {method: grid.methods[method].settings.labels for method in methods if method != BASE}
    same = len(set(labels.values())) < 2
    return {m: m if same or m not in labels else f"{m} ({plural(labels[m], 'label')})" for m in methods}


def samples(grid: Grid, tasks: Sequence[str], name: str) -> str:
    """A number of samples of the measures: `1024`, or where tasks differ `1024 (digits) or 512 (fruits)`."""
    counts = {task: getattr(grid.measures(task), name) for task in tasks if task in grid.tasks}
    if len(set(counts.values())) < 2:
        return str(next(iter(counts.values()), getattr(grid.config.measures, name)))
    return " or ".join(f"{count} ({task})" for task, count in counts.items())


def preference_name(grid: Grid, task: str, *users: str) -> str:
    """The preference of these users: a share of liked images, or for users who answer with grades a mean."""
    graded = {select.is_graded(grid, task, user) for user in users}
    return {frozenset([True]): "mean preference", frozenset([False]): "share liked"}.get(
        frozenset(graded), "preference"
    )


def intervals_sentence(grid: Grid) -> str:
    """Definition of the intervals, once for the page."""
    return (
        f"± and [ , ] are {100 * grid.config.confidence:g}% t intervals over seeds; pooled values average users within "
        "each seed."
    )


def plural(count: int, noun: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
