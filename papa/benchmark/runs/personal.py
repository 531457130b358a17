"""The stored study of personal models: one parquet file with its key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet

from papa.benchmark.grid import Grid
from papa.benchmark.machine import git_commit, processor
from papa.benchmark.personal import PersonalStudy
from papa.benchmark.personal.population import OFFLINE, SPLITS, Population
from papa.benchmark.runs.key import STUDYING, completion_key, files_of, sources_of
from papa.benchmark.runs.record import read_record
from papa.benchmark.specs import BaseSpec
from papa.errors import RecordError, SettingsError
from papa.files import replacing
from papa.rng import Stream

KEY, ABOUT = b"papa", b"papa.about"


def asked_of(grid: Grid) -> PersonalStudy:
    """The settings of the study.

    Raises:
        SettingsError: if the configuration has none, or the task has no personal adapters.
    """
    asked = grid.config.personal
    if asked is None:
        raise SettingsError("the configuration has no `personal`, so there is no study of personal models.")
    if "adapter" not in grid.task(asked.task).declaration.extra:
        raise SettingsError(f"personal.task: the model of {asked.task} has no personal adapters.")
    return asked


def base_of(grid: Grid) -> BaseSpec:
    """The base samples that the users choose from."""
    asked = asked_of(grid)
    return BaseSpec(grid.task(asked.task), asked.seed, grid.config)


def path_of(grid: Grid) -> Path:
    """The place of the study of a configuration."""
    return Path(grid.config.results, asked_of(grid).task, "personal.parquet")


def key_of(grid: Grid) -> str:
    """The key of the study: settings, sources, weights, base samples."""
    asked = asked_of(grid)
    of = grid.task(asked.task)
    settings = [asked.model_dump(mode="json"), asked.half, grid.config.root_seed, of.described, base_of(grid).key]
    sources = sources_of(of.name) | {file for module in STUDYING for file in files_of(module)}
    return completion_key(settings, sources, of.weights | of.extra("adapter"))


def study(grid: Grid, task: Any, log: Callable[[str], None]) -> pd.DataFrame:
    """Run the study."""
    from papa.benchmark.personal.study import Study  # imports torch

    asked, base = asked_of(grid), base_of(grid)
    pool = task.model.unpack(read_record(base.folder, base.key).arrays()["images"])
    return pd.DataFrame(Study(task, asked, pool, _stream(grid), log).run())


def pairs_path(grid: Grid) -> Path:
    """The place of the choices of the population, in Pick-a-Pic's format."""
    return path_of(grid).with_name("pairs.parquet")


def write_pairs(grid: Grid, task: Any) -> Path:
    """Write the choices of the seen users among the base samples of the study, as a data set."""
    from papa.benchmark.personal import pick_a_pic
    from papa.benchmark.personal.preferences import Pool, chosen_by

    images = read_record(base_of(grid).folder, base_of(grid).key).arrays()["images"].transpose(0, 2, 3, 1)
    pool = Pool(images, np.zeros(len(images), dtype=np.int64), [task.model.settings.prompt])
    population = Population(task.attributes().values)
    persons = [population.person(number) for number in SPLITS["seen"]]
    rows = chosen_by(persons, task.attributes(), pool, OFFLINE, _stream(grid).at("pairs"))
    pick_a_pic.write(pairs_path(grid), list(images), rows)
    return pairs_path(grid)


def _stream(grid: Grid) -> Stream:
    asked = asked_of(grid)
    return Stream(grid.config.root_seed).at(asked.task, "personal", seed=asked.seed)


def write(grid: Grid, frame: pd.DataFrame) -> Path:
    """Store a study with its key, and its commit and machine."""
    commit = git_commit() or "unknown"
    about = f"Sampled by commit {commit[:10]}{'+' if commit.endswith('+') else ''} on {processor()}."
    metadata = {KEY: key_of(grid).encode(), ABOUT: about.encode()}
    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **metadata})
    with replacing(path_of(grid)) as temporary:
        pyarrow.parquet.write_table(table, temporary)
    return path_of(grid)


def about(grid: Grid) -> str:
    """The commit and machine of the study, as a sentence."""
    read(grid)
    return pyarrow.parquet.read_schema(path_of(grid)).metadata[ABOUT].decode()


def stands(grid: Grid) -> bool:
    """Whether the study of this configuration is there."""
    try:
        return pyarrow.parquet.read_schema(path_of(grid)).metadata.get(KEY) == key_of(grid).encode()
    except (OSError, pyarrow.ArrowInvalid, AttributeError):
        return False


def read(grid: Grid) -> pd.DataFrame:
    """The study.

    Raises:
        RecordError: if it is missing, damaged, or of other settings.
    """
    if not stands(grid):
        raise RecordError(
            f"{path_of(grid)} is missing, damaged, or of other settings or weights; make it with `papa personal`."
        )
    return pd.read_parquet(path_of(grid))
