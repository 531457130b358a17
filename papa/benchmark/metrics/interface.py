"""The interface of a metric: a class with `measure(run) -> rows`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from papa.benchmark.config import Measures
from papa.benchmark.runs.record import Meta
from papa.benchmark.tasks.interface import Judge, References, Task
from papa.benchmark.users.interface import User
from papa.rng import Stream


@dataclass(frozen=True)
class Row:
    """One value of one run. stage: "round" for the curves, "final" for the aligned result."""

    metric: str
    value: float
    unit: str
    round: int
    stage: str = "final"


@dataclass(frozen=True)
class Real:
    """Real images: (n, d) float64 features and (n,) classes."""

    features: Tensor
    labels: np.ndarray

    def of(self, classes: tuple[int, ...] | None) -> Tensor:
        """The features of the images of some classes, or of all."""
        return self.features if classes is None else self.features[torch.from_numpy(np.isin(self.labels, classes))]


@dataclass
class Bench:
    """Shared by all runs of a task, loaded once per process: judges, references, measure settings."""

    task: Task
    measures: Measures
    stream: Stream
    space: Literal["pixels", "features"] = "pixels"

    @cached_property
    def judges(self) -> dict[str, Judge]:
        return self.task.judges()

    @cached_property
    def references(self) -> References | None:
        return self.task.references()

    @cached_property
    def features(self) -> nn.Module | None:
        """The references' feature network, or without references the task's, if it has one."""
        return self.task.features() if self.references is None else self.references.features

    @torch.no_grad()
    def embedded(self, images: Tensor) -> Tensor:
        """(n, d) float64 features of images, or their pixels without a feature network."""
        return (images.flatten(1) if self.features is None else self.features(images)).double()

    def points(self, images: Tensor) -> Tensor:
        """(n, d) float64 points whose distances measure diversity."""
        return self.embedded(images) if self.space == "features" else images.flatten(1).double()

    @cached_property
    def real(self) -> Real:
        """The references."""
        assert self.references is not None
        return Real(self.embedded(self.references.images), self.references.labels)

    @cached_property
    def other_real(self) -> Real:
        """The real images that the references leave out."""
        images, labels = self.task.other_real_images()
        return Real(self.embedded(images), labels)


class PerBatchCache:
    """A row-wise function of images, computed once per batch; the first k rows of a batch are served from it."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        self._function = function
        self._found: dict[int, tuple[Tensor, Any]] = {}  # holds the images, so that their address is not reused

    def __call__(self, images: Tensor) -> Any:
        seen, values = self._found.get(images.data_ptr(), (images[:0], None))
        if len(seen) < len(images):
            values = self._function(images)
            self._found[images.data_ptr()] = (images, values)
        return values[: len(images)]


@dataclass
class RunView:
    """One finished run as the metrics see it.

    Args:
        bench: what all runs of the task share.
        meta: `run.json`.
        images: stage ("round_01", ..., "final") -> (n, ...) images; "served", one request of the aligned model, and
            "retention", of another prompt, are no stages.
        base: (n, ...) base samples of the same seed.
        feedback: lines of the log.
        rounds: rows of `rounds.csv`.
        user: the user of the run, calibrated.
        trace: rows of `trace.csv`.
        true_tilt: inverse temperature of a control, or None.
    """

    bench: Bench
    meta: Meta
    images: dict[str, Tensor]
    base: Tensor
    feedback: list[dict[str, Any]]
    rounds: list[dict[str, str]]
    user: User
    trace: list[dict[str, str]] = field(default_factory=list)
    true_tilt: float | None = None

    @cached_property
    def verdict(self) -> PerBatchCache:
        """Images -> (n,) the user's noiseless answers."""
        return PerBatchCache(self.user.verdict)

    @cached_property
    def embedded(self) -> PerBatchCache:
        """Images -> (n, d), as `Bench.embedded`."""
        return PerBatchCache(self.bench.embedded)

    @cached_property
    def decided(self) -> dict[str, PerBatchCache]:
        """Judge -> images -> (n,) most likely classes."""

        return {
            name: PerBatchCache(lambda images, judge=judge: judge.probabilities(images).argmax(1))
            for name, judge in self.bench.judges.items()
        }

    def points(self, images: Tensor) -> Tensor:
        """(n, d), as `Bench.points`."""
        return self.embedded(images) if self.bench.space == "features" else self.bench.points(images)

    @property
    def last(self) -> int:
        """The number of rounds."""
        return len(self.feedback)

    def stages(self) -> Iterator[tuple[int, str, Tensor]]:
        """(round, stage, images) of every curve point, base first, and of the final samples."""
        yield from self._rounds()
        if "final" in self.images:
            yield self.last, "final", self.images["final"]

    def requests(self) -> Iterator[tuple[int, str, Tensor]]:
        """(round, stage, images) of one request each: every curve point, base first, and the aligned model."""
        yield from self._rounds()
        if "served" in self.images:
            yield self.last, "final", self.images["served"]

    def _rounds(self) -> Iterator[tuple[int, str, Tensor]]:
        """The curve: `per_round` images at each point."""
        n = self.bench.measures.per_round
        yield 0, "round", self.base[:n]
        for name, images in self.images.items():
            if name.startswith("round_"):
                yield int(name.removeprefix("round_")), "round", images
        if "served" in self.images:
            yield self.last, "round", self.images["served"][:n]


class Metric(ABC):
    """A group of measures."""

    @abstractmethod
    def measure(self, run: RunView) -> list[Row]:
        """The rows of this run; none if the metric does not apply."""
