"""The declaration of a task, known without loading it. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from papa.models.settings import SamplingSettings
from papa.registry import Declared

Offer = Literal["classes", "ink", "concepts", "attributes", "hasty", "density"]
"""Capabilities that users can require of a task, and the methods of a task with each:

* classes: `gold_network()`, the classifier that labels (images -> logits, differentiable);
* ink: `ink()`, mean and standard deviation of the real images' ink;
* concepts: `proxy()`, the OpenCLIP judge that labels, and `known_images()`, images and their known concepts;
* attributes: `attributes()`, those of an image by the judge that labels, `attribute_judges()`, the same by every judge
  (no method queries those besides "gold"), and `known_images()`;
* hasty: `hasty()`, a classifier that was trained on few images;
* density: `mixture`, the exact density of the base.
"""


@dataclass(frozen=True)
class TaskDeclaration(Declared):
    """A task, as the registry names it.

    Args:
        settings: class of its settings.
        target: "module:Class" of its implementation.
        users: the users that come with it, label -> entry as in a configuration.
        offers: what users can need of it.
        prompted: whether images have a prompt; such tasks have tables and figures of their own.
        scored: whether preference is measured (not if the truth is a density).
        finetunes: whether it has a network.
        artefacts: folder of its shipped weights in `papa/data`.
        extra: folders of weights that only some runs load: "adapter", for methods that need one, or an offer.
        recipe: script, with arguments, that makes the artefacts.
        needs: module that declares its requirements beyond this package. Such a task is large: it is also scored on the
            configured device, and its jobs ask for the GPU at every step.
        memory_mb: main memory of one job.
        space: where distances between images are taken: pixels, or features of one of its networks.
        uses: modules that compute for it besides its own files and the shared ones, for the keys of its runs.
    """

    settings: type[SamplingSettings]
    target: str
    users: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))
    offers: frozenset[Offer] = frozenset()
    prompted: bool = False
    scored: bool = True
    finetunes: bool = True
    artefacts: str | None = None
    extra: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    recipe: str | None = None
    needs: str | None = None
    memory_mb: int = 3000
    space: Literal["pixels", "features"] = "pixels"
    uses: tuple[str, ...] = ()
