"""Reference results: keep those of an experiment, check a fresh run against them, bundle a method, and rank it.

Two experiments are compared by cells: the mean of each task, user, method and measure over seeds.
"""

from __future__ import annotations

import json
import math
import shutil
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from papa import __version__
from papa.benchmark.grid import BASE, Grid
from papa.benchmark.machine import this_machine
from papa.errors import RecordError, SettingsError
from papa.files import sha256, write_atomic
from papa.paper import report, select, stats, summary
from papa.settings import unknown

FOLDER = Path("reference")
CELLS, RUNS, ABOUT, SUMMARY, LOCK = "cells.csv", "runs.csv", "about.json", "README.md", Path("requirements.lock")
AXES = ["task", "user", "method", "metric"]
COLUMNS = [*AXES, "labels", "mean", "deviation", "seeds"]
COMPARED = (
    "preference_gold",
    "preference_held_out",
    *report.DIVERSITY,
    "fid_preferred",
    "sample",
    "amortized_cost_100",
)
REPRODUCED, DIFFERS, FEW, MISSING = "reproduced", "differs", "too few seeds", "not run"
NAMED = 20
"""Differing cells that are listed."""


def place_of(config: str | Path) -> Path:
    """The folder of the reference results of a configuration file."""
    return FOLDER / Path(config).stem


def cells_of(table: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """The cells of a long table, without controls and diverged runs; `deviation` has n - 1."""
    found = select.finished(select.check(table))
    methods = [method for method in grid.methods if not select.is_control(grid, method)]
    of = found[found.metric.isin(COMPARED) & found.method.isin(methods)].groupby(AXES, sort=True).value
    made = pd.DataFrame({"mean": of.mean(), "deviation": of.std(ddof=1), "seeds": of.count()}).reset_index()
    made["labels"] = [grid.methods[method].settings.labels for method in made.method]
    return made[COLUMNS]


def read_cells(folder: Path) -> pd.DataFrame:
    """The cells of reference results.

    Raises:
        RecordError: for a missing file, missing columns, or text instead of numbers.
    """
    file = folder / CELLS
    try:
        found = pd.read_csv(file)
        found = found[COLUMNS].astype({"mean": float, "deviation": float, "seeds": int, "labels": int})
    except (OSError, ValueError, KeyError) as error:  # pandas' parsing errors are ValueErrors
        raise RecordError(
            f"{file} cannot be read ({error}). Name the folder of reference results with --reference; `papa reference "
            "write` makes one."
        ) from None
    return found


# ---------------------------------------------------------------- write


def write(table: pd.DataFrame, grid: Grid, config: str) -> Path:
    """Copy tables, claims and figures of a finished experiment, with its cells, a summary, and the machine.

    Returns:
        The folder.

    Raises:
        RecordError: where tables or claims are missing.
    """
    results, figures, folder = Path(grid.config.results), Path(grid.config.figures), place_of(config)
    files = [*sorted((results / "tables").glob("*.md")), *results.glob("claims.*"), *sorted(figures.glob("*.png"))]
    if not files or not (results / "claims.json").is_file():
        raise RecordError(f"{results} has no finished tables and claims; run `snakemake --cores all` first.")
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)
    report.write_csv(folder / CELLS, cells_of(table, grid))
    claims = json.loads((results / "claims.json").read_text(encoding="utf-8"))
    write_atomic(folder / SUMMARY, summary.markdown(select.check(table), grid, claims))
    seconds = table.loc[(table.metric == "seconds") & (table.stage == "final"), "value"].sum()
    about = {
        "configuration": config,
        "root_seed": grid.config.root_seed,
        "runs": len(grid),
        "made": table.attrs.get("about", ""),
        "machine": this_machine().model_dump(),
        "seconds_of_learning": round(float(seconds)),
    }
    write_atomic(folder / ABOUT, json.dumps(about, indent=2) + "\n")
    return folder


# ---------------------------------------------------------------- check


def compare(reference: pd.DataFrame, fresh: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """The cells of a reference with those of another run of the experiment, on other seeds, and a verdict on each.

    A cell is reproduced where the difference of the means is within Welch's interval. Values without spread on either
    side (the cost of an image) have to be equal.
    """
    both = reference.merge(fresh, "left", AXES, suffixes=("", "_fresh"))
    judged = []
    for row in both.to_dict("records"):
        sides = [(row[f"mean{s}"], row[f"deviation{s}"], row[f"seeds{s}"]) for s in ("", "_fresh")]
        tolerance, p = stats.welch(sides[0], sides[1], confidence)
        difference = row["mean_fresh"] - row["mean"]
        verdict = DIFFERS if p < 1 - confidence else REPRODUCED
        if math.isnan(p):
            verdict = FEW if math.isfinite(difference) else MISSING
        judged.append({"difference": difference, "tolerance": tolerance, "p": p, "verdict": verdict})
    return pd.concat([both, pd.DataFrame(judged, index=both.index)], axis=1)


def by_method(found: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Cells compared and reproduced per method; it differs if a cell does after Holm's correction over its cells."""
    rows = []
    for (task, method), of in found.groupby(["task", "method"], sort=False):
        counted = of[of.verdict.isin([REPRODUCED, DIFFERS])]
        if counted.empty:
            verdict = MISSING if (of.verdict == MISSING).all() else FEW
        else:
            verdict = DIFFERS if min(stats.holm(counted.p.tolist())) < 1 - confidence else REPRODUCED
        counts = {"cells": len(counted), "reproduced": int((counted.verdict == REPRODUCED).sum())}
        rows.append({"task": task, "method": method} | counts | {"verdict": verdict})
    return pd.DataFrame(rows, columns=["task", "method", "cells", "reproduced", "verdict"])


def check(table: pd.DataFrame, grid: Grid, reference: Path) -> list[Path]:
    """Compare the runs with reference results, and write `check.md` and `check.csv` into the folder of results."""
    confidence = grid.config.confidence
    found = compare(read_cells(reference), cells_of(table, grid), confidence)
    methods = by_method(found, confidence)
    compared, reproduced = int(methods.cells.sum()), int(methods.reproduced.sum())
    share = f" ({reproduced / compared:.0%})" if compared else ""
    parts = [
        f"**{reproduced} of {compared} cells are reproduced{share}**, compared with {reference.as_posix()}. A cell is "
        f"reproduced where the means differ by less than Welch's {confidence:.0%} interval; about {1 - confidence:.0%} "
        f"differ by chance. {table.attrs.get('about', '')}".strip()
        + "\n",
        report.markdown(list(methods.columns), [list(map(str, row)) for row in methods.to_numpy()], left=2),
    ]
    if len(apart := found[found.verdict == DIFFERS].sort_values("p").head(NAMED)):
        rows = [
            [row["task"], row["user"], row["method"], report.name_of(row["metric"])]
            + [report.number(row[name]) for name in ("mean", "mean_fresh", "tolerance")]
            for row in apart.to_dict("records")
        ]
        heads = ["task", "user", "method", "measure", "reference", "here", "tolerance"]
        parts.append(f"Cells that differ, smallest p first:\n\n{report.markdown(heads, rows, left=4)}")
    results = Path(grid.config.results)
    return [write_atomic(results / "check.md", "\n".join(parts)), report.write_csv(results / "check.csv", found)]


# ---------------------------------------------------------------- submit and rank


def submit(table: pd.DataFrame, grid: Grid, method: str, file: Path) -> Path:
    """Bundle the runs of one method: cells of it and the base, every value of its runs, its settings and the machine.

    Raises:
        SettingsError: for a method that the configuration does not have.
        RecordError: for a method without runs.
    """
    if method not in grid.methods:
        raise SettingsError(unknown("method", method, grid.methods))
    rows = select.check(table)
    own = rows[rows.method == method]
    if own.empty:
        raise RecordError(f"the long table has no runs of {method}; add it to the grid and run the experiment.")
    found, of = cells_of(table, grid), grid.methods[method]
    tasks = {name: task for name, task in grid.tasks.items() if name in set(own.task)}
    about = {
        "papa": __version__,
        "method": method,
        "algorithm": of.name,
        "source": of.declaration.module,
        "settings": of.settings.model_dump(mode="json"),
        "labels": of.settings.labels,
        "root_seed": grid.config.root_seed,
        "tasks": {name: task.described | {"measures": task.measures.model_dump()} for name, task in tasks.items()},
        "machine": this_machine().model_dump(),
        "made": table.attrs.get("about", ""),
        "lock": sha256(LOCK) if LOCK.is_file() else None,
    }
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr(CELLS, found[found.method.isin([method, BASE])].to_csv(index=False))
        bundle.writestr(RUNS, own[list(select.COLUMNS)].to_csv(index=False))
        bundle.writestr(ABOUT, json.dumps(about, indent=2))
    return write_atomic(file, content.getvalue())


def read_bundle(file: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """The subject of a bundle, and its cells.

    Raises:
        RecordError: for a file that is missing or no bundle, or whose cells are not the means of its runs.
    """
    remedy = "Make it again with `papa reference submit`."
    try:
        with zipfile.ZipFile(file) as bundle:
            about = json.loads(bundle.read(ABOUT))
            found = pd.read_csv(BytesIO(bundle.read(CELLS)))[COLUMNS]
            runs = select.finished(select.check(pd.read_csv(BytesIO(bundle.read(RUNS)))))
        own = found[found.method == about["method"]].set_index(AXES)["mean"]
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise RecordError(f"{file} is no bundle that can be read ({error}). {remedy}") from None
    if not np.allclose(own, runs.groupby(AXES).value.mean().reindex(own.index), rtol=1e-6, atol=1e-9):
        raise RecordError(f"the cells of {file} are not the means of its runs. {remedy}")
    return about, found


def rank(file: Path, reference: Path) -> str:
    """The method of a bundle among those of reference results, as Markdown: a table for each task and label budget.

    Methods are ordered by mean preference over the users of both. Those that lose more than 1 - `KEPT` of the base's
    diversity have no rank. Methods are level where Welch's 95% interval of their difference contains 0.
    """
    (about, found), known = read_bundle(file), read_cells(reference)
    name = f"{about['method']} (yours)"
    mine = found[found.method == about["method"]].assign(method=name)
    parts = []
    for task in mine.task.unique():
        users = sorted({*mine[mine.task == task].user} & {*known[known.task == task].user})
        both = pd.concat([known, mine])
        both = both[(both.task == task) & both.user.isin(users) & (both.method != BASE)]
        for labels in sorted(both.labels.unique()):
            if rows := _ranked(both[both.labels == labels], len(users)):
                metrics = [report.name_of(metric) for metric in COMPARED[1:]]
                heads = ["rank", "method", report.name_of(COMPARED[0]), "seeds", "level with", *metrics]
                title = f"### {task} ({', '.join(users)}), {labels} labels"
                parts.append(f"{title}\n\n{report.markdown(heads, rows, left=2)}")
        if not users:
            parts.append(f"### {task}\n\nThe reference has none of the users of this task.\n")
    machine = about.get("machine", {})
    torch = machine.get("versions", {}).get("torch")
    parts.append(
        f"± is a 95% t interval over seeds (of perfectly correlated users, the widest case). No rank: keeps less than "
        f"{select.KEPT:g} of the base's distance within liked images. {about['method']}: papa {about.get('papa')}, "
        f"torch {torch}, {machine.get('processor')}, root seed {about.get('root_seed')}.\n"
    )
    return "\n".join(parts)


def _ranked(found: pd.DataFrame, users: int) -> list[list[str]]:
    """A row for each method that ran for all users, the highest preference first."""
    of = found.groupby(["method", "metric"])
    pooled = pd.DataFrame({"mean": of["mean"].mean(), "deviation": of.deviation.mean(), "seeds": of.seeds.min()})
    counts = of.user.nunique().xs(select.PREFERENCE, level="metric")
    means = pooled["mean"].unstack("metric").reindex(columns=list(COMPARED))
    ordered = means.loc[counts[counts == users].index].sort_values(select.PREFERENCE, ascending=False)
    sides = {m: tuple(pooled.loc[(m, select.PREFERENCE)]) for m in ordered.index}
    keeps = ordered.index[~(ordered.liked_distance_ratio < select.KEPT)]
    places = {method: place for place, method in enumerate(keeps, 1)}
    rows = []
    for method in [*keeps, *ordered.index.difference(keeps, sort=False)]:
        mean, deviation, n = sides[method]
        level = [place for other, place in places.items() if other != method and _level(sides[method], sides[other])]
        interval = report.plus_minus(stats.from_error(mean, deviation / math.sqrt(n), int(n)))
        others = [report.number(float(ordered[metric][method])) for metric in COMPARED[1:]]
        place = str(places.get(method, report.NOTHING))
        rows.append([place, str(method), interval, str(int(n)), _spans(level) or report.NOTHING, *others])
    return rows


def _level(first: tuple[float, float, float], second: tuple[float, float, float]) -> bool:
    """Whether Welch's 95% interval of a difference contains 0, or cannot be given."""
    p = stats.welch((first[0], first[1], int(first[2])), (second[0], second[1], int(second[2])))[1]
    return not p < 0.05


def _spans(places: list[int]) -> str:
    """Places as `1–3, 5`."""
    spans: list[list[int]] = []
    for place in places:
        if spans and spans[-1][-1] == place - 1:
            spans[-1].append(place)
        else:
            spans.append([place])
    return ", ".join(f"{of[0]}–{of[-1]}" if len(of) > 1 else str(of[0]) for of in spans)
