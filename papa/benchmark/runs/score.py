"""Scoring: from run records to `metrics.json` beside them. Nothing here is seen by a method."""

from __future__ import annotations

from dataclasses import asdict

from papa.benchmark import metrics
from papa.benchmark.grid import RunSpec
from papa.benchmark.metrics.interface import Bench, Metric, RunView
from papa.benchmark.runs.align import build_user
from papa.benchmark.runs.record import read_record
from papa.benchmark.runs.scores import score_key, write_scores
from papa.benchmark.tasks.interface import AnyTask
from papa.registry import load
from papa.rng import Stream


class Scorer:
    """Measures runs of one task; judges and references are loaded once."""

    def __init__(self, spec: RunSpec, task: AnyTask) -> None:
        self._bench = Bench(
            task, spec.of.measures, Stream(spec.config.root_seed).at("score", spec.task), spec.of.declaration.space
        )
        self._metrics: list[Metric] = [load(target)() for target in metrics.METRICS.values()]

    def score(self, spec: RunSpec) -> str:
        """Measure a run and write its values.

        Raises:  RecordError for a record that is missing, damaged, or of other settings.
        """
        run = view(spec, self._bench)
        rows = [asdict(row) for metric in self._metrics for row in metric.measure(run)]
        write_scores(spec.folder, score_key(spec), rows)
        return f"{len(rows)} values"


def view(spec: RunSpec, bench: Bench) -> RunView:
    """A finished run and its base samples, verified and loaded."""
    record, base = read_record(spec.folder, spec.key), read_record(spec.base.folder, spec.base.key)
    task, model = bench.task, bench.task.model
    return RunView(
        bench=bench,
        meta=record.meta,
        images={name: model.unpack(values) for name, values in sorted(record.arrays().items()) if name != "shown"},
        base=model.unpack(base.arrays()["images"]),
        feedback=record.lines(),
        rounds=record.rows("rounds.csv"),
        user=build_user(spec, task),
        trace=record.rows("trace.csv"),
        true_tilt=spec.settings.true_tilt,
    )
