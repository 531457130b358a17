"""One page with everything: the results in short, the figures, the tables, the claims and the configuration.

The page is made from the files of tables, figures and claims, and from the long table. It is one file that loads
nothing from elsewhere and runs no script, and it has no date: equal results give equal bytes.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml

from papa import __version__
from papa.benchmark.grid import Grid
from papa.errors import RecordError
from papa.files import write_atomic
from papa.paper import report, select, summary
from papa.paper.shown import made_by_default
from papa.paper.stats import Estimate

PLACES = {"results", "figures"}
"""Settings that are paths of the machine that made the results; the page leaves them out."""
LONG = 40
"""Characters from which on a column is text, and left-aligned."""


@dataclass(frozen=True)
class Part:
    """A grid of cells. left: for each column, whether it is left-aligned."""

    title: str
    headings: list[str]
    rows: list[list[str]]
    left: list[bool]


def write(table: pd.DataFrame, grid: Grid, config: str) -> Path:
    """Write `index.html` into the folder of results.

    Args:
        table: the long table.
        grid: the grid.
        config: the configuration file of the grid.

    Raises:
        RecordError: if a table, figure or verdict is missing or damaged; it says what to run.
    """
    results, figures, table = Path(grid.config.results), Path(grid.config.figures), select.check(table)
    tables, drawn = made_by_default(grid)
    try:
        claims = json.loads(_text(results / "claims.json"))
        values: dict[str, Any] = {
            "claims": [claim | {"effect": _effect(claim)} for claim in claims],
            "claims_caption": _text(results / "claims.rst"),
            "verdicts": summary.verdicts(claims),
            "tables": [_captioned(name, results / "tables") | {"parts": parts(results, name)} for name in tables],
            "figures": [_captioned(name, figures) | {"uri": _uri(figures / f"{name}.png")} for name in drawn],
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(
            f"the page cannot be made ({error}). Run `snakemake --cores all`, which makes missing tables, figures and "
            "claims, and the page; delete a damaged file first."
        ) from None
    text = _template().render(
        values,
        version=__version__,
        config=Path(config).name if Path(config).is_absolute() else Path(config).as_posix(),
        about=table.attrs.get("about", ""),
        extent=summary.extent(table),
        intervals=report.intervals_sentence(grid),
        results=[
            Part(task, heads, rows, [True, *[False] * len(heads)]) for task, heads, rows in summary.results(table, grid)
        ],
        settings=yaml.safe_dump(
            grid.config.model_dump(mode="json", exclude=PLACES),
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=None,
            width=100,
        ),
    )
    return write_atomic(results / "index.html", text)


def _template() -> jinja2.Template:
    """The template; it escapes all text and refuses undefined names."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(files("papa.paper").joinpath("page.html").read_text(encoding="utf-8"))


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()


def _captioned(name: str, folder: Path) -> dict[str, Any]:
    """Name, title and the rest of the caption of a table or figure."""
    title, _, more = _text(folder / f"{name}.rst").partition(". ")
    return {"name": name, "title": title, "more": more}


def parts(results: Path, name: str) -> list[Part]:
    """The grids of cells in a table's Markdown, each with the heading above it."""
    found: list[Part] = []
    title, lines = "", []
    for line in [*_text(results / "tables" / f"{name}.md").splitlines(), ""]:
        if line.startswith("|"):
            lines.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif lines:
            found.append(_part(title, *lines))
            title, lines = "", []
        if line.startswith("### "):
            title = line.removeprefix("### ")
    return found


def _part(title: str, headings: list[str], rule: Sequence[str], *rows: list[str]) -> Part:
    columns = zip(headings, rule, *rows, strict=True)
    left = [mark.startswith(":") or any(len(cell) > LONG for cell in column) for _, mark, *column in columns]
    return Part(title, headings, list(rows), left)


def _uri(file: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"


def _effect(claim: dict[str, Any]) -> str:
    mean, lower, upper = (math.nan if claim[key] is None else float(claim[key]) for key in ("effect", "lower", "upper"))
    return report.signed(Estimate(mean, lower, upper, int(claim["seeds"]), "t"))
