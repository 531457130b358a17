"""The long table: every value of every run of the grid, one row each, and what it was made from."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from papa.benchmark.grid import Grid
from papa.benchmark.runs.record import digest_of, read_record
from papa.benchmark.runs.scores import read_scores, score_key
from papa.benchmark.specs import RunSpec
from papa.errors import RecordError
from papa.files import replacing

COLUMNS = ["task", "method", "algorithm", "user", "seed", "round", "stage", "metric", "value", "unit"]
NUMBERS = ["seed", "round", "value"]
ABOUT = b"papa"
"""The entry of the parquet file's metadata that says what the table was made from."""


@dataclass(frozen=True)
class About:
    """What a long table was made from. key: of all its runs and values. commits: of the source trees that made the
    runs, `unknown` outside of a checkout. processors: of the machines, GPUs first. generation: how often it had to be
    made again, for the workflow."""

    key: str
    commits: list[str]
    processors: list[str]
    generation: int = 0

    @property
    def sentence(self) -> str:
        """For captions."""
        commits = ", ".join(commit if commit == "unknown" else commit[:10] for commit in self.commits)
        return f"Runs of commit {commits} on {', '.join(self.processors)}."


def table_path(grid: Grid) -> Path:
    """Where the long table of a configuration lies."""
    return Path(grid.config.results) / "runs.parquet"


def table_key(specs: Iterable[RunSpec]) -> str:
    """What a long table of these runs is made from."""
    return digest_of(sorted(score_key(spec) for spec in specs))


def gather(specs: Collection[RunSpec], generation: int = 0) -> tuple[pd.DataFrame, About]:
    """The long table of these runs, sorted, from the values beside their records.

    Args:    generation: see `About`.
    Raises:  RecordError for a run that is missing, damaged, of other settings, or not scored.
    """
    frames, commits, processors = [], set(), set()
    for spec in specs:
        meta = read_record(spec.folder, spec.key).meta
        commits.add(meta.machine.commit or "unknown")
        processors.add(meta.machine.gpu or meta.machine.processor)
        rows = read_scores(spec.folder, score_key(spec))
        if rows is None:
            raise RecordError(f"the run in {spec.folder} has no up-to-date values; run `papa score` for it.")
        axes = {
            "task": spec.task,
            "method": spec.method,
            "algorithm": spec.algorithm,
            "user": spec.user,
            "seed": spec.seed,
        }
        frames.append(pd.DataFrame(rows).assign(**axes))
    table = pd.concat(frames, ignore_index=True)[COLUMNS] if frames else pd.DataFrame(columns=COLUMNS)
    table = table.astype({"seed": int, "round": int, "value": float})
    table = table.sort_values(COLUMNS[:-2], kind="stable", ignore_index=True)
    about = About(table_key(specs), sorted(commits), sorted(processors), generation)
    if specs:
        table.attrs["about"] = about.sentence
    return table, about


def collect(grid: Grid, generation: int = 0) -> Path:
    """Verify every file of every run of the grid and write the long table, atomically.

    Raises:  RecordError as `gather` does.
    """
    for spec in grid:
        read_record(spec.folder, spec.key).verify()
    table, about = gather(list(grid), generation)
    with replacing(table_path(grid)) as temporary:
        write(table, about, temporary)
    return table_path(grid)


def write(table: pd.DataFrame, about: About, file: Path) -> None:
    """A long table as parquet, with what it was made from in the file's metadata."""
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(arrow.schema.metadata or {}), ABOUT: json.dumps(asdict(about))}
    pq.write_table(arrow.replace_schema_metadata(metadata), file)


def _about(schema: pa.Schema) -> About:
    return About(**json.loads((schema.metadata or {})[ABOUT]))


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def made_from(grid: Grid) -> About | None:
    """What the existing long table was made from, by its metadata alone; None where there is none to read."""
    try:
        return _about(pq.read_schema(table_path(grid)))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None


def read_table(grid: Grid) -> pd.DataFrame:
    """The long table of a grid; `attrs["about"]` says what it was made from.

    Raises:  RecordError if it is missing, damaged, or of other runs than the grid's.
    """
    path = table_path(grid)
    try:
        arrow = pq.read_table(path)
        about = _about(arrow.schema)
    except FileNotFoundError:
        raise RecordError(f"there is no long table {path}; run `papa collect` first.") from None
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise RecordError(f"{path} cannot be read ({error}); delete it and run `papa collect` again.") from error
    if about.key != table_key(grid):
        raise RecordError(
            f"{path} was made from other runs, settings or measures than this configuration's; run "
            "`snakemake --cores all`, or `papa collect` once its runs are there."
        )
    if text := [
        name for name in NUMBERS if name in arrow.column_names and not _is_number(arrow.schema.field(name).type)
    ]:
        raise RecordError(
            f"{path} holds something else than numbers as {', '.join(text)}; delete it and run `papa collect` again."
        )
    table = arrow.to_pandas()
    table.attrs["about"] = about.sentence
    return table
