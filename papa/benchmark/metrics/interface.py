"""What a metric is: a class with `measure(run) -> rows`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

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
    """What all runs of a task share: judges, references, measure settings. Loaded once a process."""

    task: AnyTask
    measures: Measures
    stream: Stream

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

    @cached_property
    def reference_features(self) -> Tensor:
        """(n, d) features of the references; every run is compared with the same."""
        assert self.references is not None and self.features is not None
        return self.features(self.references.images)


@dataclass
class RunView:
    """One finished run as the metrics see it.

    images: stage name ("round_01", ..., "final") -> (n, ...) images; "retention", of another prompt, is no stage.
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
        """(round, stage, images) of every curve point, base first, and of the final samples.

        The curve's last point is the first part of the final samples, so that every point of a curve
        has the same number of samples.
        """
        n = self.bench.measures.per_round
        yield 0, "round", self.base[:n]
        for name, images in self.images.items():
            if name.startswith("round_"):
                yield int(name.removeprefix("round_")), "round", images
        if "final" in self.images:
            yield self.last, "round", self.images["final"][:n]
            yield self.last, "final", self.images["final"]


class Metric(ABC):
    """A family of measures."""

    @abstractmethod
    def measure(self, run: RunView) -> list[Row]:
        """The rows of this run; none where the metric does not apply."""


Measure = Callable[[Tensor], float]
