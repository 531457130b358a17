"""From a configuration to the list of its runs, every label checked. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from papa.benchmark import tasks, users
from papa.benchmark.config import RESERVED, Config, Measures, read
from papa.benchmark.specs import BaseSpec, MethodSpec, RunSpec, TaskSpec
from papa.benchmark.users.interface import UserSpec
from papa.errors import SettingsError
from papa.methods import declaration as method_declaration
from papa.models.settings import BLOCK
from papa.settings import unknown, validated

BASE = "base"
"""The label of the pre-trained model, which every method is compared with."""


Axes = tuple[str, str, str, int]
"""Task, method, user, seed."""


class Grid:
    """The runs of a configuration.

    Raises:  SettingsError that names the place and the nearest known name.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.tasks = {label: self.task(label) for label in {b.task for b in config.grid.values()} | {*config.tasks}}
        if lost := sorted({*config.measures_by_task} - {*self.tasks} - {*tasks.TASKS}):
            raise SettingsError(f"measures_by_task: {unknown('task', lost[0], {*self.tasks, *tasks.TASKS})}")
        self.methods = {label: self._method(label) for label in config.methods}
        self._refuse_twins()
        self._check_users()
        self.specs = self._specs()

    # ------------------------------------------------------------ what the labels mean

    def task(self, label: str) -> TaskSpec:
        """A task of the configuration, or a registered one with its defaults.

        Raises:  SettingsError for an unknown task, or for settings that do not fit it.
        """
        if label.lower() in RESERVED:
            raise SettingsError(
                f"tasks.{label}: the folder of results has {label} for other things; take another label."
            )
        given = dict(self.config.tasks.get(label, {}))
        name = str(given.pop("task", label))
        try:
            found = tasks.declaration(name)
        except SettingsError as error:
            raise SettingsError(f"tasks.{label}: {error}") from None
        settings = validated(found.settings, given, f"tasks.{label}")
        own = self.config.measures_by_task.get(label, {})
        measures = validated(Measures, self.config.measures.model_dump() | own, f"measures_by_task.{label}")
        return TaskSpec(label, name, found, settings, measures)

    def _method(self, label: str) -> MethodSpec:
        given = dict(self.config.methods[label])
        name = str(given.pop("algorithm", label))
        if label == BASE and name != BASE:
            raise SettingsError(
                f"methods.base: algorithm: {name} would stand in the place of the base, which every method is compared "
                "with; give it another label."
            )
        try:
            found = method_declaration(name)
        except SettingsError as error:
            raise SettingsError(f"methods.{label}: {error}") from None
        return MethodSpec(label, name, found, validated(found.settings, given, f"methods.{label}"))

    def _user(self, task: TaskSpec, label: str, where: str) -> UserSpec:
        found = users.user_spec(label, task.declaration.users, self.config.users, f"{where}: task {task.label}")
        for name in found.kinds:
            if (needs := users.kind(name).needs) not in task.declaration.offers:
                raise SettingsError(
                    f"{where}: user {label} is of kind {name}, which needs {needs}, and task {task.label} does not "
                    f"offer that; its own users are {', '.join(task.declaration.users) or 'none'}."
                )
        return found

    def _check_users(self) -> None:
        """Check all users of the configuration, including those that no block names."""
        for label in self.config.users:
            users.user_spec(label, self._tastes, self.config.users, f"users.{label}")

    @property
    def _tastes(self) -> dict[str, Any]:
        """The users that come with the tasks."""
        return {label: taste for task in self.tasks.values() for label, taste in task.declaration.users.items()}

    def _refuse_twins(self) -> None:
        """Refuse labels that differ in case only: on some systems they are one folder."""
        users = [*self._tastes, *self.config.users]
        for kind, labels in (("methods", self.methods), ("tasks", self.tasks), ("users", users)):
            seen: dict[str, str] = {}
            for label in labels:
                other = seen.setdefault(label.lower(), label)
                if other != label:
                    raise SettingsError(f"{kind}: {other} and {label} differ in case only; rename one.")

    def _specs(self) -> dict[Axes, RunSpec]:
        specs: dict[Axes, RunSpec] = {}
        for name, block in self.config.grid.items():
            task = self.tasks[block.task]
            for label in block.methods:
                if label not in self.methods:
                    raise SettingsError(f"grid.{name}.methods: {unknown('method', label, self.methods)}")
                method = self.methods[label]
                if method.settings.training is not None and not task.declaration.finetunes:
                    raise SettingsError(
                        f"grid.{name}.methods: {label} fine-tunes a network and task {task.label} has none; use base, "
                        "best_of_n or fkc there."
                    )
                if method.settings.needs_adapter and not task.declaration.personal:
                    raise SettingsError(
                        f"grid.{name}.methods: {label} draws with an adapter that was trained on a population, and "
                        f"task {task.label} has none; train one (docs/ppd.md), or use papa or fkc there."
                    )
                _refuse_few_candidates(task, method, f"grid.{name}.methods")
                for user in block.users:
                    who = self._user(task, user, f"grid.{name}.users")
                    for seed in block.seeds:
                        specs[task.label, label, user, seed] = RunSpec(task, method, who, seed, self.config)
        return specs

    # ------------------------------------------------------------ the runs

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
        """The runs of these axes.

        Raises:  SettingsError if there are none.
        """
        users = [user] if isinstance(user, str) else user
        axes = [("task", task, 0), ("method", method, 1), *(("user", one, 2) for one in users or [])]
        for name, value, index in axes:
            if value is not None and value not in (known := {axis[index] for axis in self.specs}):
                raise SettingsError(f"the grid of this configuration has no such run: {unknown(name, value, known)}")
        chosen = [
            spec
            for spec in self
            if (task is None or spec.task == task)
            and (method is None or spec.method == method)
            and (users is None or spec.user in users)
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
        """The base samples of a task and seed.

        Raises:  SettingsError for a task that the grid does not use.
        """
        if task not in self.used:
            raise SettingsError(f"the grid of this configuration has no such run: {unknown('task', task, self.used)}")
        return BaseSpec(self.tasks[task], seed, self.config)

    def measures(self, task: str) -> Measures:
        """What is drawn and measured on a task."""
        return self.tasks[task].measures


def load(path: str | Path, overrides: dict[str, Any] | None = None) -> Grid:
    """Read a configuration file and check it.

    Args:    overrides: top-level values that win over the file's (from the command line).
    Raises:  SettingsError for an unknown or invalid setting, or as `read` does.
    """
    return Grid(validated(Config, read(path) | (overrides or {})))


def _refuse_few_candidates(task: TaskSpec, method: MethodSpec, where: str) -> None:
    """Refuse fewer base samples than a request takes, unless they are whole blocks, to which more can be added."""
    measures = task.measures
    needed = measures.served * method.settings.candidates
    if needed > measures.base and measures.base % BLOCK:
        raise SettingsError(
            f"{where}: {method.label} takes {method.settings.candidates} base samples for each sample, so a request of "
            f"{measures.served} needs {needed}, and measures.base of {task.label} is {measures.base}; make it {needed} "
            f"or more, or a multiple of {BLOCK}."
        )
