"""One page that holds everything: what came out, the figures, the tables, the claims and the configuration.

The page is made of what `papa make` wrote, and of the long table. It is one file that
loads nothing from elsewhere and runs no script, and it has no date: the same results give the same bytes. Its looks
stand in the template beside this module.
"""

from __future__ import annotations

import base64
import json
import math
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
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
from papa.paper import outcome, report, select
from papa.paper.figures import FIGURES
from papa.paper.stats import Estimate
from papa.paper.tables import TABLES

PNG = b"\x89PNG\r\n\x1a\n"
CLAIM = (
    "id",
    "verdict",
    "sentence",
    "source",
    "comparison",
    "effect",
    "lower",
    "upper",
    "seeds",
    "reason",
    "refuted_by",
)
"""What the page shows of a claim."""
NAMED = 3
"""Missing files, and commands, up to which an error names all of them."""
LONG = 40
"""Characters from which on a cell is text, whatever its column says."""
PLACES = {"results", "figures"}
"""Settings that say where files lie on the machine that made them; the page leaves them out."""


@dataclass(frozen=True)
class Part:
    """One grid of cells of a table. left: for each column, whether it holds text, which stands at the left."""

    title: str
    headings: list[str]
    rows: list[list[str]]
    left: list[bool]


@dataclass(frozen=True)
class Table:
    """A table with its caption, whose beginning is the title."""

    name: str
    title: str
    more: str
    parts: list[Part]


@dataclass(frozen=True)
class Figure:
    """A figure with its caption, whose beginning is the title. width, height: in pixels. uri: the picture itself."""

    name: str
    title: str
    more: str
    width: int
    height: int
    uri: str


def write(table: pd.DataFrame, grid: Grid, config: str) -> Path:
    """Write `index.html` into the folder of results.

    Args:    table: the long table. config: the configuration file that the grid was read from.
    Raises:  RecordError that says what to run if a table, figure or verdict is missing or damaged, OSError.
    """
    results, table = Path(grid.config.results), select.check(table)
    _refuse_gaps(grid)
    figures = [_figure(Path(grid.config.figures), name) for name in FIGURES]
    tables = [_table(results / "tables", name) for name in TABLES]
    claims = _claims(results / "claims.json")
    text = _template().render(
        version=__version__,
        config=Path(config).name if Path(config).is_absolute() else Path(config).as_posix(),
        about=table.attrs.get("about", ""),
        outcome=outcome.paragraphs(table, grid, claims),
        intervals=report.unit_sentence(grid),
        figures=figures,
        tables=tables,
        claims=claims,
        claims_caption=_text(results / "claims.rst"),
        settings=_settings(grid),
    )
    return write_atomic(results / "index.html", text)


def needed(grid: Grid) -> dict[Path, str]:
    """What the page is made of, and the command that writes it."""
    results, figures = Path(grid.config.results), Path(grid.config.figures)
    return (
        {figures / f"{name}{suffix}": f"papa make {name}" for name in FIGURES for suffix in (".png", ".rst")}
        | {results / "tables" / f"{name}{suffix}": f"papa make {name}" for name in TABLES for suffix in (".md", ".rst")}
        | {results / f"claims{suffix}": "papa make claims" for suffix in (".json", ".rst")}
    )


def _refuse_gaps(grid: Grid) -> None:
    missing = {file: command for file, command in needed(grid).items() if not file.is_file()}
    if not missing:
        return
    files, commands = list(map(str, missing)), list(dict.fromkeys(missing.values()))
    more = f" and {report.plural(len(files) - NAMED, 'other file')}" if len(files) > NAMED else ""
    by_hand = f"`{' && '.join(commands)}` with the same --config, or " if len(commands) <= NAMED else ""
    raise RecordError(
        f"the page lacks {', '.join(files[:NAMED])}{more}. Run {by_hand}`snakemake --cores all`, which makes whatever "
        f"is missing, and the page ({files[0]} alone: `{commands[0]}`)."
    )


def _template() -> jinja2.Template:
    """The template, which escapes every text that is put into it and refuses a name that it is not given."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(files("papa.paper").joinpath("page.html").read_text(encoding="utf-8"))


# ---------------------------------------------------------------- what is read


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()


def _caption(file: Path) -> tuple[str, str]:
    """A caption, parted at the first mark that ends a thought: its title, and what follows."""
    text = _text(file)
    title = re.split(r"[:;.](?:\s|$)", text, maxsplit=1)[0]
    return title, text.removeprefix(title)


@contextmanager
def _reading(file: Path, command: str) -> Iterator[None]:
    """Turn whatever is wrong with what a file holds into an error that says how to make it again."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{file} cannot be read ({error}); run `{command}` again.") from error


def _table(folder: Path, name: str) -> Table:
    with _reading(file := folder / f"{name}.md", f"papa make {name}"):
        return Table(name, *_caption(file.with_suffix(".rst")), parts(_text(file)))


def parts(markdown: str) -> list[Part]:
    """The grids of cells in a table's Markdown, as `report.markdown` writes them, each with the heading above it.

    Raises:  ValueError for a grid whose rows differ in length.
    """
    found: list[Part] = []
    title, lines = "", []
    for line in [*markdown.splitlines(), ""]:
        if line.startswith("|"):
            lines.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif lines:
            headings, rule, *rows = lines
            columns = zip(headings, rule, *rows, strict=True)
            left = [mark.startswith(":") or any(len(cell) > LONG for cell in column) for _, mark, *column in columns]
            found.append(Part(title, headings, rows, left))
            title, lines = "", []
        if line.startswith("### "):
            title = line.removeprefix("### ")
    return found


def _figure(folder: Path, name: str) -> Figure:
    with _reading(file := folder / f"{name}.png", f"papa make {name}"):
        data = file.read_bytes()
        if not data.startswith(PNG) or len(data) < 24:
            raise ValueError("it is no PNG")
        width, height = struct.unpack(">II", data[16:24])
        uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
        return Figure(name, *_caption(file.with_suffix(".rst")), width, height, uri)


def _claims(file: Path) -> list[dict[str, Any]]:
    """The entries of `claims.json` that the page shows, each with its effect as it is read."""
    with _reading(file, "papa make claims"):
        found = [{key: entry[key] for key in CLAIM} for entry in json.loads(_text(file))]
        return [claim | {"effect": _effect(claim)} for claim in found]


def _effect(claim: dict[str, Any]) -> str:
    mean, lower, upper = (math.nan if claim[key] is None else float(claim[key]) for key in ("effect", "lower", "upper"))
    return report.signed(Estimate(mean, lower, upper, int(claim["seeds"]), "t"))


def _settings(grid: Grid) -> str:
    """The configuration as YAML, with what it extends, what the command line set, and the defaults of its own keys."""
    values = grid.config.model_dump(mode="json", exclude=PLACES)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
