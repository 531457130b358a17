"""The settings of an experiment, as in a configuration file. Imports no torch.

The settings of a method, a model, a task or a user are in the module that they set.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from papa.benchmark.personal import PersonalStudy
from papa.errors import SettingsError
from papa.settings import Positive, Seed, Settings


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f"a label is text; write it in quotes, '{value}'")
    return value


Label = Annotated[
    str, BeforeValidator(_text), StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+=-]*$", max_length=80)
]
"""Labels appear in paths, commands, legends and tables: letters, digits and . _ + = -, first a letter or a digit."""

FORBIDDEN = set("{}[]*?<>|;&$`\"'\\\n\r\t\0!")
"""Characters with a special meaning in a shell, a file pattern or Snakemake's wildcards."""

SOURCES = frozenset(
    {".git", ".snakemake", "config", "docs", "papa", "profiles", "recipes", "reference", "tests", "workflow"}
)
"""Folders of the repository."""

RESERVED = frozenset(
    {"stamps", "logs", "benchmarks", "tables", "runs.parquet", "claims.md", "claims.json", "claims.rst"}
    | {"index.html", "report.html"}
)
"""Names in the folder of results that no task may have."""


def _folder(name: str) -> str:
    if found := sorted(set(name) & FORBIDDEN):
        raise ValueError(f"the name of a folder must not contain {' '.join(map(repr, found))}")
    place = Path(os.path.expanduser(name))
    if (name.startswith(("-", "~")) and place == Path(name)) or max(map(len, place.parts), default=0) > 200:
        raise ValueError("no folder can have this name; choose another one")
    if not name.strip() or os.path.normpath(place) in {".", "..", "/", os.path.expanduser("~")} or place.is_file():
        raise ValueError("a folder of its own is needed, for example results")
    if place.parts[0] in SOURCES or place.is_relative_to("/dev"):
        raise ValueError("this folder has another purpose; choose another one, for example results")
    return str(place)


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ValueError("a device is auto, cpu, cuda or cuda:0")
    return name


def _distinct(values: list[Any]) -> list[Any]:
    if twice := sorted({str(value) for value in values if values.count(value) > 1}):
        raise ValueError(f"duplicate entry {', '.join(twice)}")
    return values


Folder = Annotated[str, AfterValidator(_folder)]


class Block(Settings):
    """A part of the grid: every method for every user and seed on one task."""

    task: Label
    methods: Annotated[list[Label], Field(min_length=1), AfterValidator(_distinct)]
    """Labels from `methods`."""
    users: Annotated[list[Label], Field(min_length=1), AfterValidator(_distinct)]
    """Users of the task, or labels from `users`."""
    seeds: Annotated[list[Seed], Field(min_length=1), AfterValidator(_distinct)]


class Measures(Settings):
    """Numbers of samples that are generated and measured."""

    final: Positive = 1024
    """Samples of the aligned result, for FID, KID and the final measures."""
    served: Positive = 32
    """Samples of one request, among which nearest neighbours and near copies are counted."""
    per_round: Positive = 32
    """Samples for each point of a curve; at most `served`."""
    curve_every: Positive = 1
    """Rounds from one point of a curve to the next."""
    base: Positive = 4096
    """Base samples per seed: the base row, best-of-n's candidates, predictions."""
    diversity: Positive = 256
    """Samples for the diversity measures, which depend on this number."""
    retention: Positive = 64
    """Samples of the aligned model for another prompt (text-to-image tasks)."""
    kid_subset: Annotated[int, Field(ge=2, le=10**6)] = 100
    """Subset size of KID."""
    kid_subsets: Positive = 100
    """Number of KID subsets."""

    def final_of(self, candidates: int) -> int:
        """Number of final samples: `final`, or fewer if the base samples have not enough candidates (best of 16)."""
        return min(self.final, max(1, self.base // candidates))

    @model_validator(mode="after")
    def _one_request(self) -> Measures:
        if self.per_round > self.served:
            raise ValueError(
                f"per_round ({self.per_round}) must not exceed served ({self.served}), the last point of each curve"
            )
        return self


class Config(Settings):
    """The settings of an experiment."""

    results: Folder = "results"
    """Folder of runs, long table and tables."""
    figures: Folder = "figures"
    """Folder of figures."""
    root_seed: Annotated[int, Field(ge=0, lt=2**63, strict=True)] = 2026
    """Root of all random streams."""
    device: Annotated[str, AfterValidator(_device)] = "auto"
    """auto, cpu, cuda or cuda:0. `auto` is the device of the base samples if they exist, else CUDA if available."""
    seeds_per_job: Positive = 5
    """Seeds that one process runs (the start of a process takes several seconds)."""
    users_per_job: Positive = 3
    """Users that one process runs, among those of the same tables and figures."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Level of all intervals."""
    measures: Measures = Measures()
    measures_by_task: dict[Label, dict[str, Any]] = {}
    """Measures of a task that differ from those above (samples of a larger model cost more)."""
    tasks: dict[Label, dict[str, Any]] = {}
    """Label -> task (the label itself if not given) and settings that differ from its defaults."""
    methods: dict[Label, dict[str, Any]]
    """Label -> algorithm (the label itself if not given) and settings that differ from its defaults."""
    users: dict[Label, dict[str, Any]] = {}
    """Label -> a taste ({kind: classes, classes: [2]}), or another user with answer noise
    ({user: likes-1479, flip: 0.2, missing: 0.1})."""
    grid: Annotated[dict[Label, Block], Field(min_length=1)]
    """The runs."""
    personal: PersonalStudy | None = None
    """The study of personal models (T6, F8); None: no study."""


MERGED = ("tasks", "methods", "users", "measures_by_task", "measures")
"""Keys that are merged, entry by entry, with those of the file that is extended."""


def read(path: str | Path, below: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The values of a configuration file.

    With `extends: other.yaml`, its keys override that file's; `tasks`, `methods`, `users` and the measures are merged
    entry by entry. `grid` replaces the other grid, `grid_also` adds blocks to it. `personal` is never inherited.
    `below` are the files that extend this one.

    Raises:
        SettingsError: if the file is missing or no mapping in YAML, has a duplicate key, or extends itself.
    """
    path = Path(path)
    if not path.is_file():
        raise SettingsError(f"there is no configuration file {path}; the default is config.yaml in the repository.")
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), OnceLoader)  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise SettingsError(f"{path} has no settings; compare it with config.yaml.")
    if path.resolve() in below:
        raise SettingsError(f"{path} extends itself; remove `extends` from one of the files.")
    added = data.pop("grid_also", None)
    if "extends" in data:
        name = data.pop("extends")
        if not isinstance(name, str) or not (path.parent / name).is_file():
            raise SettingsError(f"{path}: extends: there is no file {name!r} in {path.parent}.")
        parent = read(path.parent / name, (*below, path.resolve()))
        parent.pop("personal", None)
        both = [key for key in MERGED if isinstance(parent.get(key), dict) and isinstance(data.get(key), dict)]
        data = parent | data | {key: {**parent[key], **data[key]} for key in both}
    if added is not None:
        grid = data.get("grid")
        if not isinstance(grid, dict) or not isinstance(added, dict):
            raise SettingsError(f"{path}: grid_also adds blocks to the grid of an extended file; write `grid` instead.")
        if twice := sorted(map(str, set(grid) & set(added))):
            raise SettingsError(f"{path}: grid_also repeats blocks of the grid: {', '.join(twice)}; rename them.")
        data["grid"] = grid | added
    return data


class OnceLoader(yaml.SafeLoader):
    """YAML without duplicate keys: of two blocks of one name the first would be lost silently."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key, _ in node.value:
            if keys.count(key.value) > 1 and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value!r}", key.start_mark)
        return super().construct_mapping(node, deep)
