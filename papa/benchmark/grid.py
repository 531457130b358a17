"""From a configuration file to the list of runs.

Shared by the command line and the Snakefile; imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from papa.benchmark.config import (
    Config,
    Measures,
    MethodSettings,
    Settings,
    TaskSettings,
    TextToImageSettings,
    UserSettings,
    unknown,
)
from papa.benchmark.registry import METHODS, TASKS, USERS, UserEntry, find
from papa.benchmark.runs.key import artefact_hashes, completion_key
from papa.errors import SettingsError

POOL = "base"
"""The method whose samples every other method of a task and seed may share."""


@dataclass(frozen=True)
class RunSpec:
    """One run: a method for a user on a task with a seed."""

    task: str
    method: str
    algorithm: str
    user: str
    seed: int
    task_settings: TaskSettings
    settings: MethodSettings
    user_settings: UserSettings
    config: Config

    @property
    def folder(self) -> Path:
        return Path(self.config.results, self.task, "runs", self.method, self.user, f"seed{self.seed}")

    @property
    def user_entry(self) -> UserEntry:
        return USERS[self.task][self.user_settings.user or self.user]

    @property
    def described(self) -> dict[str, Any]:
        """Everything that was asked for, defaults resolved."""
        return {
            "task": self.task,
            "task_settings": self.task_settings.model_dump(),
            "algorithm": self.algorithm,
            "settings": self.settings.model_dump(),
            "user": self.user_settings.user or self.user,
            "taste": self.user_entry.taste,
            "user_settings": self.user_settings.model_dump(exclude={"user"}),
            "seed": self.seed,
            "root_seed": self.config.root_seed,
            "samples": self.config.measures.model_dump(include=self._samples),
            "device": self.config.device,
        }

    @property
    def _samples(self) -> set[str]:
        """The measures that say what a run draws."""
        retained = {"retention"} if isinstance(self.task_settings, TextToImageSettings) else set()
        return {"final", "per_round", "base"} | retained

    @cached_property
    def key(self) -> str:
        modules = (
            "papa.benchmark.runs.align",
            METHODS[self.algorithm].module,
            TASKS[self.task].module,
            self.user_entry.module,
        )
        return completion_key(self.described, modules, artefact_hashes(self.task))


@dataclass(frozen=True)
class PoolSpec:
    """The base samples of a task and seed, shared by all methods and users."""

    task: str
    seed: int
    task_settings: TaskSettings
    config: Config

    @property
    def folder(self) -> Path:
        return Path(self.config.results, self.task, "base", f"seed{self.seed}")

    @property
    def described(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "task_settings": self.task_settings.model_dump(),
            "seed": self.seed,
            "root_seed": self.config.root_seed,
            "samples": self.config.measures.base,
            "device": self.config.device,
        }

    @cached_property
    def key(self) -> str:
        modules = ("papa.benchmark.runs.base_samples", TASKS[self.task].module)
        return completion_key(self.described, modules, artefact_hashes(self.task))


class Grid:
    """The runs of a configuration.

    Raises:  SettingsError that names the place and the nearest known name.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.task_settings = {name: self._task_settings(name) for name in {b.task for b in config.grid.values()}}
        for name in config.tasks:
            self._task_settings(name)
        self._configs = {name: self._config_of(name) for name in {*self.task_settings, *config.measures_by_task}}
        self.methods = {label: self._method(label) for label in config.methods}
        self.specs = self._specs()

    def _task_settings(self, name: str) -> TaskSettings:
        entry = _found(find, "task", TASKS, name)
        return _validated(entry.settings, self.config.tasks.get(name, {}), f"tasks.{name}")

    def _config_of(self, task: str) -> Config:
        """The configuration as the runs of a task see it: with the task's own measures."""
        _found(find, "task", TASKS, task)
        own = self.config.measures_by_task.get(task, {})
        merged = _validated(Measures, self.config.measures.model_dump() | own, f"measures_by_task.{task}")
        return self.config.model_copy(update={"measures": merged})

    def _method(self, label: str) -> tuple[str, MethodSettings]:
        given = dict(self.config.methods[label])
        algorithm = str(given.pop("algorithm", label))
        entry = _found(find, "method", METHODS, algorithm)
        return algorithm, _validated(entry.settings, given, f"methods.{label}")

    def _specs(self) -> dict[tuple[str, str, str, int], RunSpec]:
        specs: dict[tuple[str, str, str, int], RunSpec] = {}
        for block_name, block in self.config.grid.items():
            for label in block.methods:
                if label not in self.methods:
                    raise SettingsError(f"grid.{block_name}.methods: {unknown('method', label, self.methods)}")
                algorithm, settings = self.methods[label]
                for user in block.users:
                    wrapped = self.config.users.get(user, UserSettings())
                    _check_user(block.task, wrapped.user or user, f"grid.{block_name}.users")
                    for seed in block.seeds:
                        specs[block.task, label, user, seed] = RunSpec(
                            task=block.task,
                            method=label,
                            algorithm=algorithm,
                            user=user,
                            seed=seed,
                            task_settings=self.task_settings[block.task],
                            settings=settings,
                            user_settings=wrapped,
                            config=self._configs[block.task],
                        )
        return specs

    def __iter__(self) -> Iterator[RunSpec]:
        return iter(self.specs.values())

    def select(
        self,
        task: str | None = None,
        method: str | None = None,
        user: str | None = None,
        seeds: list[int] | None = None,
    ) -> list[RunSpec]:
        """The runs of these axes.

        Raises:  SettingsError if there are none.
        """
        axes = (("task", task, 0), ("method", method, 1), ("user", user, 2))
        for name, value, index in axes:
            if value is not None and value not in (known := {axis[index] for axis in self.specs}):
                raise SettingsError(f"the grid of this configuration has no such run: {unknown(name, value, known)}")
        chosen = [
            spec
            for spec in self
            if (task is None or spec.task == task)
            and (method is None or spec.method == method)
            and (user is None or spec.user == user)
            and (seeds is None or spec.seed in seeds)
        ]
        absent = sorted(set(seeds or []) - {spec.seed for spec in chosen})
        if absent or not chosen:
            raise SettingsError(
                f"the grid has no run with task={task}, method={method}, user={user}, seeds={absent or seeds}. "
                "Add it to a block of `grid` in the configuration."
            )
        return chosen

    def pool(self, task: str, seed: int) -> PoolSpec:
        """The base samples of a task and seed.

        Raises:  SettingsError for a task that the grid does not use.
        """
        if task not in self.task_settings:
            raise SettingsError(
                f"the grid of this configuration has no such run: {unknown('task', task, self.task_settings)}"
            )
        return PoolSpec(task, seed, self.task_settings[task], self._configs[task])

    def measures(self, task: str) -> Measures:
        """What is drawn and measured on a task."""
        return self._configs[task].measures


def _found(find_in: Any, kind: str, registry: Any, name: str) -> Any:
    try:
        return find_in(kind, registry, name)
    except KeyError as error:
        raise SettingsError(str(error.args[0])) from None


def _check_user(task: str, user: str, where: str) -> None:
    users = USERS.get(task, {})
    if user not in users:
        raise SettingsError(f"{where}: {unknown(f'user of task {task}', user, users)}")


def _validated(cls: type[Settings], data: Any, where: str) -> Any:
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        raise SettingsError(describe(error, where)) from None


def describe(error: ValidationError, where: str) -> str:
    """A validation error as one paragraph: every place, and what is wrong there."""
    places = []
    for item in error.errors():
        place = ".".join(str(part) for part in (where, *item["loc"]) if part)
        places.append(f"{place}: {item['msg'].removeprefix('Value error, ')} (given: {str(item['input'])[:80]})")
    return "Invalid settings. " + " ".join(places)


def read(path: str | Path, below: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The values of a configuration file; with `extends: other.yaml`, its top-level keys win over that file's.

    Args:    below: the files that extend this one.
    Raises:  SettingsError if the file is missing, not YAML, or no mapping, or if it extends itself.
    """
    path = Path(path)
    if not path.is_file():
        raise SettingsError(f"there is no configuration file {path}; the default is config.yaml in the repository.")
    if path.resolve() in below:
        raise SettingsError(f"{path} extends itself; remove `extends` from one of the files.")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise SettingsError(f"{path} holds no settings; compare it with config.yaml.")
    parent = data.pop("extends", None)
    return data if parent is None else read(path.parent / str(parent), (*below, path.resolve())) | data


def load(path: str | Path, overrides: dict[str, Any] | None = None) -> Grid:
    """Read a configuration file and check it.

    Args:    overrides: top-level values that win over the file's (from the command line).
    Raises:  SettingsError for an unknown or invalid setting, or as `read` does.
    """
    return Grid(_validated(Config, read(path) | (overrides or {}), ""))
