"""What is known of a task without loading it. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from papa.models.settings import SamplingSettings
from papa.registry import Declared

Offer = Literal["classes", "ink", "concepts", "attributes", "hasty", "density"]
"""What users can ask of a task: a classifier that labels, statistics of ink, an OpenCLIP proxy with a prompt bank, how
likely each value of each attribute of a picture is, a judge that was trained in haste, an exact density."""


@dataclass(frozen=True)
class TaskDeclaration(Declared):
    """A task, as the registry names it.

    Args:    settings: the class of its settings. target: "module:Class" of its implementation. users: the tastes that
             come with it, label -> as in a configuration. offers: what users can ask of it. prompted: whether it
             draws for a prompt; those have tables and figures of their own. scored: whether preference is measured (not
             where the truth is a density). finetunes: whether it has a network. personal: the folder of the adapters
             that its model comes with, which are told about a person. hasty: the folder of a judge that was
             trained on few pictures. artefacts: the folder of its shipped weights in
             `papa/data`. recipe: the module that trains them. takes_data: whether the recipe takes a folder of data.
             parts: modules that train more for it, by name. needs: the module that says what it needs beside this
             package; such a task is large: it is also scored on the configured device, and its jobs ask for the GPU at
             every step. memory_mb: main memory of one job. takes_as_long_as: a task whose
             recorded durations are this one's too. space: where distances between images are
             taken: their pixels, or the features of one of its networks. uses: modules that compute for it besides its
             own files and the shared ones, for the keys of its runs.
    """

    settings: type[SamplingSettings]
    target: str
    users: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))
    offers: frozenset[Offer] = frozenset()
    prompted: bool = False
    scored: bool = True
    finetunes: bool = True
    personal: str | None = None
    hasty: str | None = None
    artefacts: str | None = None
    recipe: str | None = None
    takes_data: bool = False
    parts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    needs: str | None = None
    memory_mb: int = 3000
    takes_as_long_as: str | None = None
    space: Literal["pixels", "features"] = "pixels"
    uses: tuple[str, ...] = ()
