"""Scoring: from the records of runs to `metrics.json` beside them. No method sees any of this."""

from __future__ import annotations

from dataclasses import asdict

from torch import Tensor

from papa.benchmark import metrics
from papa.benchmark.metrics.interface import Bench, Metric, RunView
from papa.benchmark.runs.record import read_record, write_scores
from papa.benchmark.specs import BaseSpec, RunSpec
from papa.benchmark.tasks.interface import Task
from papa.benchmark.users import user_of
from papa.registry import load
from papa.rng import Stream


class Scorer:
    """Measures runs of one task; judges, references and the base samples of the last seed are loaded once."""

    def __init__(self, spec: RunSpec, task: Task) -> None:
        self.task = spec.task
        self._bench = Bench(
            task, spec.of.measures, Stream(spec.config.root_seed).at("score", spec.task), spec.of.declaration.space
        )
        self._metrics: list[Metric] = [load(target)() for target in metrics.METRICS.values()]
        self._base: tuple[str, Tensor] | None = None

    def score(self, spec: RunSpec) -> None:
        """Measure a run and write its values."""
        run = view(spec, self._bench, self.base(spec.base))
        write_scores(spec, [asdict(row) for metric in self._metrics for row in metric.measure(run)])

    def base(self, spec: BaseSpec) -> Tensor:
        """The base samples of a seed; the same tensor for consecutive runs."""
        if self._base is None or self._base[0] != spec.key:
            self._base = spec.key, self._bench.task.model.unpack(read_record(spec.folder, spec.key).arrays()["images"])
        return self._base[1]


def view(spec: RunSpec, bench: Bench, base: Tensor) -> RunView:
    """A finished run, verified and loaded, beside its base samples."""
    record = read_record(spec.folder, spec.key)
    task, model = bench.task, bench.task.model
    user = user_of(spec.who)
    user.calibrate(task)
    return RunView(
        bench=bench,
        meta=record.meta,
        images={name: model.unpack(values) for name, values in sorted(record.arrays().items()) if name != "shown"},
        base=base,
        feedback=record.rounds(),
        rounds=record.rows("rounds.csv"),
        user=user,
        trace=record.rows("trace.csv"),
        true_tilt=spec.settings.true_tilt,
    )
