"""Resolved specifications of a configuration: a task, a method, base samples, a run; and the key of each result.

Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from papa.benchmark import users
from papa.benchmark.config import Config, Measures
from papa.benchmark.runs.key import MEASURING, artefact_hashes, completion_key, files_of, sources_of
from papa.benchmark.tasks.declaration import TaskDeclaration
from papa.benchmark.users.interface import UserSpec
from papa.methods.declaration import Declaration, MethodSettings
from papa.models.settings import SamplingSettings


@dataclass(frozen=True)
class TaskSpec:
    """A task of a grid: a registered one with these settings and measures."""

    label: str
    name: str
    declaration: TaskDeclaration
    settings: SamplingSettings
    measures: Measures

    @property
    def described(self) -> dict[str, Any]:
        """All settings, defaults resolved."""
        return {"task": self.label, "of": self.name, "task_settings": self.settings.model_dump(mode="json")}

    @property
    def weights(self) -> dict[str, str]:
        """sha256 of each shipped weight file."""
        return artefact_hashes(self.declaration.artefacts)

    @property
    def key(self) -> str:
        """Inputs of the check of the task's artefacts."""
        return completion_key(self.described, sources_of(self.name), self.weights)

    def extra(self, name: str) -> dict[str, str]:
        """sha256 of each file that only some runs load, see `TaskDeclaration.extra`."""
        hashes = artefact_hashes(self.declaration.extra.get(name))
        return {f"{name}/{file}": digest for file, digest in hashes.items()}


@dataclass(frozen=True)
class MethodSpec:
    """A method of a grid: a registered one with these settings."""

    label: str
    name: str
    declaration: Declaration
    settings: MethodSettings


@dataclass(frozen=True)
class BaseSpec:
    """The base samples of a task and seed, shared by all methods and users."""

    of: TaskSpec
    seed: int
    config: Config

    @property
    def task(self) -> str:
        return self.of.label

    @property
    def folder(self) -> Path:
        return Path(self.config.results, self.task, "base", f"seed{self.seed}")

    @property
    def described(self) -> dict[str, Any]:
        return self.of.described | {
            "seed": self.seed,
            "root_seed": self.config.root_seed,
            "samples": self.of.measures.base,
            "device": self.config.device,
        }

    @cached_property
    def key(self) -> str:
        return completion_key(self.described, sources_of(self.of.name), self.of.weights)


@dataclass(frozen=True)
class RunSpec:
    """One run: a method for a user on a task with a seed."""

    of: TaskSpec
    by: MethodSpec
    who: UserSpec
    seed: int
    config: Config

    @property
    def task(self) -> str:
        return self.of.label

    @property
    def method(self) -> str:
        return self.by.label

    @property
    def algorithm(self) -> str:
        return self.by.name

    @property
    def user(self) -> str:
        return self.who.label

    @property
    def settings(self) -> MethodSettings:
        return self.by.settings

    @property
    def folder(self) -> Path:
        return Path(self.config.results, self.task, "runs", self.method, self.user, f"seed{self.seed}")

    @cached_property
    def base(self) -> BaseSpec:
        """The base samples that this run shares."""
        return BaseSpec(self.of, self.seed, self.config)

    @property
    def final(self) -> int:
        """Number of final samples."""
        return self.of.measures.final_of(self.settings.candidates)

    @property
    def described(self) -> dict[str, Any]:
        """All settings, defaults resolved."""
        sizes = {"served", "per_round", "curve_every", "base", *(["retention"] * self.of.declaration.prompted)}
        return self.of.described | {
            "algorithm": self.algorithm,
            "settings": self.settings.model_dump(mode="json"),
            "user": self.who.described,
            "seed": self.seed,
            "root_seed": self.config.root_seed,
            "samples": {"final": self.final} | self.of.measures.model_dump(include=sizes),
            "device": self.config.device,
        }

    @cached_property
    def key(self) -> str:
        return completion_key(self.described, sources_of(self.of.name, self.algorithm, self.who.kinds), self.weights)

    @cached_property
    def score_key(self) -> str:
        """Inputs of the metrics of this run."""
        described = {"run": self.key, "base": self.base.key, "measures": self.of.measures.model_dump()}
        sources = frozenset(file for module in MEASURING for file in files_of(module))
        return completion_key(described, sources, {})

    @property
    def weights(self) -> dict[str, str]:
        """sha256 of each weight file that the run loads."""
        needed = [*(["adapter"] if self.settings.needs_adapter else []), *(users.kind(k).needs for k in self.who.kinds)]
        return self.of.weights | {file: digest for name in needed for file, digest in self.of.extra(name).items()}
