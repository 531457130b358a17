"""What a metric is: a class with `measure(run) -> rows`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from papa.benchmark.config import Measures
from papa.benchmark.runs.record import Meta
from papa.benchmark.tasks.interface import AnyTask, Judge, References
from papa.benchmark.users.interface import AnyUser
from papa.rng import Stream


@dataclass(frozen=True)
class Row:
    """One value of one run. stage: "round" for the curves, "final" for the aligned result."""

    metric: str
    value: float
    unit: str
    round: int
    stage: str = "final"


@dataclass
class Bench:
    """What all runs of a task share: judges, references, measure settings. Loaded once a process.

    space: where distances between images are taken (`TaskDeclaration.space`).
    """

    task: AnyTask
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
    def features(self) -> Callable[[Tensor], Tensor] | None:
        """(n, ...) images -> (n, d) float64 features, of the references' network where there are references."""
        net = self.task.features() if self.references is None else self.references.features

        @torch.no_grad()
        def embedded(images: Tensor) -> Tensor:
            assert net is not None
            return net(images).double()

        return None if net is None else embedded

    def embedded(self, images: Tensor) -> Tensor:
        """(n, d) float64 features of images, or their pixels where the task has no feature network."""
        return images.flatten(1).double() if self.features is None else self.features(images)

    def points(self, images: Tensor) -> Tensor:
        """(n, d) float64 points whose distances say how different images are."""
        return self.embedded(images) if self.space == "features" else images.flatten(1).double()

    @cached_property
    def reference_features(self) -> Tensor:
        """(n, d) features of the references; every run is compared with the same."""
        assert self.references is not None and self.features is not None
        return self.features(self.references.images)


@dataclass
class RunView:
    """One finished run as the metrics see it.

    images: stage name ("round_01", ..., "final") -> (n, ...) images; "served", one request of the aligned model, and
    "retention", of another prompt, are no stages.
    base: (n, ...) images, the base samples of the same seed. feedback: the lines of the log. meta: `run.json`.
    rounds, trace: the rows of `rounds.csv` and `trace.csv`. true_tilt: the inverse temperature of a control.
    """

    bench: Bench
    meta: Meta
    images: dict[str, Tensor]
    base: Tensor
    feedback: list[dict[str, Any]]
    rounds: list[dict[str, str]]
    user: AnyUser
    trace: list[dict[str, str]] = field(default_factory=list)
    true_tilt: float | None = None

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
        """(round, stage, images) of one request each: of every curve point, base first, and of the aligned model."""
        yield from self._rounds()
        if "served" in self.images:
            yield self.last, "final", self.images["served"]

    def _rounds(self) -> Iterator[tuple[int, str, Tensor]]:
        """The curve. Every point is as many images of one request; the last one is of the request in the end."""
        n = self.bench.measures.per_round
        yield 0, "round", self.base[:n]
        for name, images in self.images.items():
            if name.startswith("round_"):
                yield int(name.removeprefix("round_")), "round", images
        if "served" in self.images:
            yield self.last, "round", self.images["served"][:n]


class Metric(ABC):
    """A family of measures."""

    @abstractmethod
    def measure(self, run: RunView) -> list[Row]:
        """The rows of this run; none where the metric does not apply."""


Measure = Callable[[Tensor], float]
