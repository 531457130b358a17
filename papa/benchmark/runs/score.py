"""Scoring: from run records to `metrics.json` beside them. Nothing here is seen by a method."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from papa.benchmark.grid import PoolSpec, RunSpec
from papa.benchmark.metrics.interface import Bench, Metric, RunView
from papa.benchmark.registry import METRICS
from papa.benchmark.runs.align import build_user
from papa.benchmark.runs.record import read_arrays, verify, write_json
from papa.benchmark.runs.scores import FILE, read_scores, score_key
from papa.benchmark.tasks.interface import Task
from papa.rng import Stream


def view(spec: RunSpec, pool: PoolSpec, bench: Bench) -> RunView:
    """A finished run and its base pool, verified and loaded."""
    meta = verify(spec.folder, spec.key)
    verify(pool.folder, pool.key)
    task = bench.task
    arrays = read_arrays(spec.folder / "samples.npz")
    user = build_user(spec, task)
    return RunView(
        bench=bench,
        meta=meta,
        images={name: task.unpack(values) for name, values in sorted(arrays.items()) if name != "shown"},
        base=task.unpack(read_arrays(pool.folder / "samples.npz")["images"]),
        feedback=[json.loads(line) for line in (spec.folder / "feedback.jsonl").read_text().splitlines()],
        rounds=read_rows(spec.folder / "rounds.csv"),
        user=user,
        trace=read_rows(spec.folder / "trace.csv") if "trace.csv" in meta["files"] else [],
    )


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, as text; an absent value is empty."""
    return list(csv.DictReader(file.read_text().splitlines()))


def score(specs: list[RunSpec], pools: Callable[[RunSpec], PoolSpec], task: Task, log: Callable[[str], None]) -> None:
    """Measure every run that has no up-to-date figures yet."""
    config = specs[0].config
    bench = Bench(task, config.measures, Stream(config.root_seed).at("score", specs[0].task))
    metrics: dict[str, Metric] = {name: entry.load()() for name, entry in METRICS.items()}
    for spec in specs:
        pool = pools(spec)
        key = score_key(spec.key, pool.key, config.measures)
        if read_scores(spec.folder, key) is not None:
            log(f"{spec.folder}: already scored")
            continue
        run = view(spec, pool, bench)
        rows = [asdict(row) for metric in metrics.values() for row in metric.measure(run)]
        write_json(spec.folder / FILE, {"key": key, "rows": rows})
        log(f"{spec.folder}: {len(rows)} figures")
