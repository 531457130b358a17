"""Somebody's own method beside the reference: a bundle of its runs' values and settings, and where it ranks."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from papa import __version__
from papa.benchmark.grid import BASE, Grid
from papa.errors import RecordError, SettingsError
from papa.files import replacing, sha256
from papa.paper import cells, report, select
from papa.settings import unknown

CELLS, RUNS, ABOUT = "cells.csv", "runs.csv", "about.json"
LOCK = Path("requirements.lock")


def write(table: pd.DataFrame, grid: Grid, method: str, machine: dict[str, Any], file: Path) -> Path:
    """Bundle the runs of one method: its cells and the base's, every value of its runs, and what they were made with.

    Args:    machine: what `papa.benchmark.machine.this_machine` says. file: the zip file to write.
    Raises:  SettingsError for a method that the configuration does not have. RecordError where it has no runs.
    """
    if method not in grid.methods:
        raise SettingsError(unknown("method", method, grid.methods))
    rows = select.check(table)
    own = rows[rows.method == method]
    if own.empty:
        raise RecordError(f"the long table has no runs of {method}; add it to the grid and run the experiment.")
    found = cells.cells(table, grid)
    of = grid.methods[method]
    about = {
        "papa": __version__,
        "method": method,
        "algorithm": of.name,
        "source": of.declaration.module,
        "settings": of.settings.model_dump(mode="json"),
        "labels": of.settings.labels,
        "root_seed": grid.config.root_seed,
        "tasks": {
            name: task.described | {"measures": task.measures.model_dump()}
            for name, task in grid.tasks.items()
            if name in set(own.task)
        },
        "machine": machine,
        "made": table.attrs.get("about", ""),
        "lock": sha256(LOCK) if LOCK.is_file() else None,
    }
    with replacing(file) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr(CELLS, found[found.method.isin([method, BASE])].to_csv(index=False))
        bundle.writestr(RUNS, own[list(select.COLUMNS)].to_csv(index=False))
        bundle.writestr(ABOUT, json.dumps(about, indent=2))
    return file


@dataclass(frozen=True)
class Bundle:
    """A bundle as it was read: what it is about, and its cells."""

    about: dict[str, Any]
    cells: pd.DataFrame

    @property
    def method(self) -> str:
        return str(self.about["method"])


def read(file: Path) -> Bundle:
    """Read a bundle.

    Raises:  RecordError for a file that is missing or no bundle, or whose cells are not those of its runs.
    """
    remedy = "Make it again with `papa reference submit`."
    try:
        with zipfile.ZipFile(file) as bundle:
            about = json.loads(bundle.read(ABOUT))
            found = pd.read_csv(BytesIO(bundle.read(CELLS)))
            runs = pd.read_csv(BytesIO(bundle.read(RUNS)))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise RecordError(f"{file} is no bundle that can be read ({error}). {remedy}") from None
    lacking = [name for name in cells.COLUMNS if name not in found.columns]
    lacking += [name for name in select.COLUMNS if name not in runs.columns]
    if lacking or not isinstance(about, dict) or "method" not in about:
        raise RecordError(f"{file} lacks {', '.join(lacking) or 'the name of its method'}. {remedy}")
    values = select.finished(select.check(runs)).groupby(cells.AXES).value.mean()
    own = found[found.method == about["method"]].set_index(cells.AXES)["mean"]
    if not np.allclose(own, values.reindex(own.index), rtol=1e-6, atol=1e-9):
        raise RecordError(f"the cells of {file} are not the means of the runs in it. {remedy}")
    return Bundle(about, found)


def ranking(bundle: Bundle, reference: pd.DataFrame) -> str:
    """The bundle's method among those of the reference, as Markdown: a table for each task, over the users of both.

    Methods of other numbers of labels stand apart; their rank is among themselves.
    """
    name = f"{bundle.method} (yours)"
    mine = bundle.cells[bundle.cells.method == bundle.method].assign(method=name)
    parts = []
    for task in mine.task.unique():
        users = sorted(set(mine[mine.task == task].user) & set(reference[reference.task == task].user))
        if not users:
            parts.append(f"### {task}\n\nThe reference has none of the users of this task.")
            continue
        both = pd.concat([reference, mine])
        both = both[(both.task == task) & both.user.isin(users) & (both.method != BASE)]
        for labels in sorted(both.labels.unique()):
            if lines := _lines(both[both.labels == labels], users):
                heads = ["rank", "method", *cells.COMPARED.values()]
                of = f"### {task} ({', '.join(users)}), {labels} labels"
                parts.append(f"{of}\n\n{report.markdown(heads, lines, left=2)}")
    machine = bundle.about.get("machine", {})
    parts.append(
        report.paragraph(
            f"{bundle.method} was run with papa {bundle.about.get('papa')} and torch "
            f"{machine.get('versions', {}).get('torch')} on {machine.get('processor')}, from root seed "
            f"{bundle.about.get('root_seed')}.",
            "Ranks are by the mean preference (gold) over users; look at the held-out judge and at diversity as well.",
        )
    )
    return "\n".join(parts)


def _lines(found: pd.DataFrame, users: list[str]) -> list[list[str]]:
    """A line for each method that ran for all users, the highest preference first."""
    wide = found.pivot_table(index="method", columns="metric", values="mean", aggfunc="mean")
    counts = found[found.metric == "preference_gold"].groupby("method").user.nunique()
    whole = [method for method in wide.index if counts.get(method, 0) == len(users)]
    ranked = wide.loc[whole].sort_values("preference_gold", ascending=False)
    return [
        [str(place), str(method), *(report.number(values.get(metric, np.nan)) for metric in cells.COMPARED)]
        for place, (method, values) in enumerate(ranked.iterrows(), 1)
    ]
