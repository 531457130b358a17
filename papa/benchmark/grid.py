"""From a configuration to the list of its runs, every label checked. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from papa.benchmark import tasks, users
from papa.benchmark.config import RESERVED, Config, Measures, read
from papa.benchmark.specs import BaseSpec, MethodSpec, RunSpec, TaskSpec
from papa.benchmark.users.interface import UserSpec
from papa.errors import SettingsError
from papa.methods import declaration as method_declaration
from papa.models.settings import BLOCK
from papa.settings import unknown, validated

D = TypeVar("D")

BASE = "base"
"""The label of the pre-trained model, which every method is compared with."""

Axes = tuple[str, str, str, int]
"""Task, method, user, seed."""


class Grid:
    """The runs of a configuration, every label checked.

    Raises:
        SettingsError: that names the place and the nearest known name.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.tasks = {label: self.task(label) for label in {b.task for b in config.grid.values()} | {*config.tasks}}
        if lost := sorted({*config.measures_by_task} - {*self.tasks} - {*tasks.TASKS}):
            raise SettingsError(f"measures_by_task: {unknown('task', lost[0], {*self.tasks, *tasks.TASKS})}")
        self.methods = {label: self._method(label) for label in config.methods}
        shipped = {label: user for task in self.tasks.values() for label, user in task.declaration.users.items()}
        for label in config.users:  # those that no block names as well
            users.user_spec(label, shipped, config.users, f"users.{label}")
        for kind, labels in (("methods", self.methods), ("tasks", self.tasks), ("users", [*shipped, *config.users])):
            _refuse_same_folders(kind, list(labels))
        self.specs = {spec_axes: spec for name in config.grid for spec_axes, spec in self._block(name)}

    def task(self, label: str) -> TaskSpec:
        """A task of the configuration, or a registered one with its defaults."""
        if label.lower() in RESERVED:
            raise SettingsError(f"tasks.{label}: this name is reserved in the folder of results; choose another label.")
        given = dict(self.config.tasks.get(label, {}))
        name = str(given.pop("task", label))
        declared = _registered(tasks.declaration, name, f"tasks.{label}")
        settings = validated(declared.settings, given, f"tasks.{label}")
        own = self.config.measures_by_task.get(label, {})
        measures = validated(Measures, self.config.measures.model_dump() | own, f"measures_by_task.{label}")
        return TaskSpec(label, name, declared, settings, measures)

    def _method(self, label: str) -> MethodSpec:
        given = dict(self.config.methods[label])
        name = str(given.pop("algorithm", label))
        if label == BASE and name != BASE:
            raise SettingsError(f"methods.base: the label base is the pre-trained model; give {name} another label.")
        declared = _registered(method_declaration, name, f"methods.{label}")
        return MethodSpec(label, name, declared, validated(declared.settings, given, f"methods.{label}"))

    def _user(self, task: TaskSpec, label: str, where: str) -> UserSpec:
        spec = users.user_spec(label, task.declaration.users, self.config.users, f"{where}: task {task.label}")
        for name in spec.kinds:
            if (needs := users.kind(name).needs) not in task.declaration.offers:
                raise SettingsError(
                    f"{where}: user {label} is of kind {name}, which needs {needs}, and task {task.label} does not "
                    f"offer that; its own users are {', '.join(task.declaration.users) or 'none'}."
                )
        return spec

    def _block(self, name: str) -> Iterator[tuple[Axes, RunSpec]]:
        """The runs of a block of the grid."""
        block, where = self.config.grid[name], f"grid.{name}"
        task = self.tasks[block.task]
        for label in block.methods:
            if label not in self.methods:
                raise SettingsError(f"{where}.methods: {unknown('method', label, self.methods)}")
            method = self.methods[label]
            _refuse_unfit(task, method, f"{where}.methods")
            for user in block.users:
                who = self._user(task, user, f"{where}.users")
                for seed in block.seeds:
                    yield (task.label, label, user, seed), RunSpec(task, method, who, seed, self.config)

    def __iter__(self) -> Iterator[RunSpec]:
        return iter(self.specs.values())

    def __len__(self) -> int:
        return len(self.specs)

    @property
    def used(self) -> list[str]:
        """The labels of the tasks that the grid runs on, sorted."""
        return sorted({axes[0] for axes in self.specs})

    def select(
        self,
        task: str | None = None,
        method: str | None = None,
        user: str | list[str] | None = None,
        seeds: list[int] | None = None,
    ) -> list[RunSpec]:
        """The runs of these axes; None selects all.

        Raises:
            SettingsError: if there are none.
        """
        wanted = [user] if isinstance(user, str) else user
        axes = [("task", task, 0), ("method", method, 1), *(("user", one, 2) for one in wanted or [])]
        for name, value, index in axes:
            if value is not None and value not in (known := {run[index] for run in self.specs}):
                raise SettingsError(f"the grid of this configuration has no such run: {unknown(name, value, known)}")
        chosen = [
            spec
            for spec in self
            if task in (None, spec.task)
            and method in (None, spec.method)
            and (wanted is None or spec.user in wanted)
            and (seeds is None or spec.seed in seeds)
        ]
        absent = sorted(set(seeds or []) - {spec.seed for spec in chosen})
        if absent or not chosen:
            raise SettingsError(
                f"the grid has no run with task={task}, method={method}, user={user}, seeds={absent or seeds}. "
                "Add it to a block of `grid` in the configuration."
            )
        return chosen

    def base(self, task: str, seed: int) -> BaseSpec:
        """The base samples of a task of the grid and a seed."""
        if task not in self.used:
            raise SettingsError(f"the grid of this configuration has no such run: {unknown('task', task, self.used)}")
        return BaseSpec(self.tasks[task], seed, self.config)

    def measures(self, task: str) -> Measures:
        """The measures of a task."""
        return self.tasks[task].measures


def load(path: str | Path, overrides: dict[str, Any] | None = None) -> Grid:
    """Read a configuration file and check it; `overrides` are top-level values that replace those of the file."""
    return Grid(validated(Config, read(path) | (overrides or {})))


def _registered(declaration: Callable[[str], D], name: str, where: str) -> D:
    try:
        return declaration(name)
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from None


def _refuse_same_folders(kind: str, labels: list[str]) -> None:
    """Refuse labels that differ in case only: on some systems they are one folder."""
    seen: dict[str, str] = {}
    for label in labels:
        if (other := seen.setdefault(label.lower(), label)) != label:
            raise SettingsError(f"{kind}: {other} and {label} differ in case only; rename one.")


def _refuse_unfit(task: TaskSpec, method: MethodSpec, where: str) -> None:
    """Refuse a method that cannot run on a task."""
    label, measures = method.label, task.measures
    if method.settings.training is not None and not task.declaration.finetunes:
        raise SettingsError(f"{where}: {label} fine-tunes a network and task {task.label} has none; use fkc there.")
    if method.settings.needs_adapter and "adapter" not in task.declaration.extra:
        raise SettingsError(
            f"{where}: {label} needs a personal adapter and task {task.label} has none; train one (docs/ppd.md), or "
            "use papa or fkc there."
        )
    needed = measures.served * method.settings.candidates
    if needed > measures.base and measures.base % BLOCK:  # whole blocks of base samples can be extended
        raise SettingsError(
            f"{where}: {label} takes {method.settings.candidates} base samples for each sample, so a request of "
            f"{measures.served} needs {needed}, and measures.base of {task.label} is {measures.base}; make it {needed} "
            f"or more, or a multiple of {BLOCK}."
        )
