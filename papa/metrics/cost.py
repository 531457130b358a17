"""What a run cost: labels, denoiser evaluations, time, memory."""

from __future__ import annotations

from papa.metrics.interface import Metric, Row, RunView


class Cost(Metric):
    """labels. forward, backward, frozen: denoiser evaluations while learning, one per item and noise
    level. train: backward plus frozen plus the forward that each backward needs. sample: forward
    evaluations per returned sample. seconds: while learning, without the samples drawn for measuring.
    peak_memory. diverged: 1 where the run ended so."""

    def measure(self, run: RunView) -> list[Row]:
        meta = run.meta
        learning, total = meta["evaluations"]["learning"], meta["evaluations"]["total"]
        rows = [
            Row("labels", meta["labels"], "labels", run.last),
            *(Row(name, learning[name], "evaluations", run.last) for name in ("forward", "backward", "frozen")),
            Row("train", 2 * learning["backward"] + learning["frozen"], "evaluations", run.last),
            Row("peak_memory", meta["peak_memory_mib"], "MiB", run.last),
            Row("diverged", float(meta["status"] == "diverged"), "", run.last),
        ]
        if "final" in run.images:
            n = len(run.images["final"])
            rows.append(Row("sample", (total["forward"] - learning["forward"]) / n, "evaluations", run.last))
        if run.rounds:
            rows.append(Row("seconds", float(run.rounds[-1]["seconds"]), "s", run.last))
        return rows
