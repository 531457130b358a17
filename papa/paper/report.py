"""How results are written down: values, Markdown and captions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from papa.benchmark.grid import Grid
from papa.benchmark.personal.population import OFFLINE, SEEN
from papa.files import write_atomic
from papa.paper import select
from papa.paper.stats import Estimate

NOTHING = "–"


def write_csv(path: Path, frame: pd.DataFrame) -> Path:
    """Write raw values atomically; an empty field is a missing value."""
    return write_atomic(path, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


# ---------------------------------------------------------------- numbers


def number(value: float, digits: int = 3) -> str:
    """`digits` decimals, or none from 10^digits on; a dash for NaN."""
    if not math.isfinite(value):
        return NOTHING
    if abs(value) < 10**digits:
        return f"{value:.{digits}f}"
    return f"{value:,.0f}"


def plus_minus(found: Estimate, digits: int = 3) -> str:
    """`0.853 ± 0.012`, the half width of the interval; the mean alone where there is no interval."""
    if not math.isfinite(found.half_width) or found.how == "constant":
        return number(found.mean, digits)
    return f"{number(found.mean, digits)} ± {number(found.half_width, digits)}"


def signed(found: Estimate, digits: int = 3) -> str:
    """`+0.050 [-0.010, +0.110]`; the mean alone where there is no interval."""
    if not math.isfinite(found.mean):
        return NOTHING
    text = f"{found.mean:+.{digits}f}"
    if math.isfinite(found.half_width):
        text += f" [{found.lower:+.{digits}f}, {found.upper:+.{digits}f}]"
    return text


def columns(found: Estimate, prefix: str = "") -> dict[str, float | int]:
    """An estimate as columns of a tidy CSV."""
    return {
        f"{prefix or 'mean'}": found.mean,
        f"{prefix + '_' if prefix else ''}lower": found.lower,
        f"{prefix + '_' if prefix else ''}upper": found.upper,
        f"{prefix + '_' if prefix else 'n_'}seeds": found.n,
    }


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table whose first `left` columns are left-aligned and the others right-aligned."""
    lines = [list(headers), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(headers))]
    rule = [":" + "-" * (w - 1) if column < left else "-" * (w - 1) + ":" for column, w in enumerate(widths)]
    padded = [
        [
            cell.ljust(w) if column < left else cell.rjust(w)
            for column, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    ]
    return "".join("| " + " | ".join(line) + " |\n" for line in (padded[0], rule, *padded[1:]))


# ---------------------------------------------------------------- captions


def quote(table: pd.DataFrame, grid: Grid, tasks: Sequence[str], methods: Sequence[str], users: Sequence[str]) -> str:
    """What was run, in the configuration's own values: budget, steps, users, seeds, samples."""
    if not tasks:
        return "Nothing of this ran."
    asking = [method for method in methods if method != select.BASE] or methods  # the base asks for no labels
    settings = [grid.methods[method].settings for method in asking if method in grid.methods]
    budgets = sorted({(entry.labels, entry.per_round) for entry in settings})
    steps = [f"{grid.tasks[task].settings.steps} denoising steps ({task})" for task in tasks if task in grid.tasks]
    seeds = select.seeds_of(table, tasks, methods)
    sentence = [
        " or ".join(f"{labels} labels in rounds of {k}" for labels, k in budgets),
        ", ".join(steps),
        f"{plural(len(users), 'user')} ({', '.join(users)})",
        f"{plural(len(seeds), 'seed')} ({', '.join(map(str, seeds))})",
        f"{samples(grid, tasks, 'final')} final samples per run",
    ]
    said = "; ".join(part for part in sentence if part) + "."
    return " ".join(part for part in (said, offline_sentence(grid, methods), table.attrs.get("about", "")) if part)


def offline_sentence(grid: Grid, methods: Sequence[str]) -> str:
    """Which methods begin with an adapter, whose pairs of other persons no label counts."""
    given = [name for name in methods if name in grid.methods and grid.methods[name].settings.needs_adapter]
    return (
        f"Before the first label, {', '.join(given)} had learned from {SEEN * OFFLINE:,} offline pairs of {SEEN} other "
        "persons; the other methods had not."
        if given
        else ""
    )


def named(grid: Grid, methods: Sequence[str]) -> dict[str, str]:
    """Method -> what it is called in a table; with its labels where not all of them spent as many."""
    labels = {method: grid.methods[method].settings.labels for method in methods if method != select.BASE}
    same = len(set(labels.values())) < 2
    return {m: m if same or m not in labels else f"{m} ({plural(labels[m], 'label')})" for m in methods}


def samples(grid: Grid, tasks: Sequence[str], name: str) -> str:
    """A number of samples of the measures: `1024`, or where tasks differ `1024 (digits) or 512 (fruits)`."""
    counts = {task: getattr(grid.measures(task), name) for task in tasks if task in grid.tasks}
    if len(set(counts.values())) < 2:
        return str(next(iter(counts.values()), getattr(grid.config.measures, name)))
    return " or ".join(f"{count} ({task})" for task, count in counts.items())


def liked(grid: Grid, task: str, *users: str) -> str:
    """What the preference of these users is: a share, or for users who answer with grades a mean."""
    graded = {select.is_graded(grid, task, user) for user in users}
    return {frozenset([True]): "mean preference", frozenset([False]): "share liked"}.get(
        frozenset(graded), "preference"
    )


def graded_sentence(grid: Grid, tasks: Sequence[str]) -> str:
    """Of whom the preference is a mean."""
    graded = [user for task in tasks for user in select.users_of(grid, task) if select.is_graded(grid, task, user)]
    return f"The preference of users who answer with grades ({', '.join(graded)}) is their mean." if graded else ""


def unit_sentence(grid: Grid) -> str:
    """What the intervals are, and over what."""
    return (
        f"Intervals are {100 * grid.config.confidence:g}% t intervals over seeds (the unit; users are averaged within "
        "a seed where they are pooled)."
    )


def diverged_sentence(table: pd.DataFrame, tasks: Sequence[str], methods: Sequence[str]) -> str:
    """Which runs diverged: they are left out of the means, and named."""
    counts = {m: sum(select.diverged(table, task, m) for task in tasks) for m in methods}
    found = [f"{method} ({plural(count, 'run')})" for method, count in counts.items() if count]
    return f"Diverged and left out: {', '.join(found)}." if found else ""


def plural(count: int, noun: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def paragraph(*sentences: str) -> str:
    """One caption of the sentences that say something."""
    return " ".join(sentence for sentence in sentences if sentence) + "\n"
