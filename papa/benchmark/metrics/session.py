"""The session as the user experiences it, and the cost of a run."""

from __future__ import annotations

from typing import Any

import numpy as np

from papa.benchmark.metrics.interface import Metric, Row, RunView

AMORTIZED_OVER = 100
"""Generated images that the cost of learning is amortized over."""


class Session(Metric):
    """like_rate: share of a round's answered items that were liked (mean preference where graded).
    regret: cumulative sum of 1 - preference over all answered items so far, in items.
    labels_to_first_like: labels up to and including the first like; NaN without any."""

    def measure(self, run: RunView) -> list[Row]:
        rows, regret, labels, first = [], 0.0, 0, float("nan")
        for line in run.feedback:
            preference = np.array([np.nan if s is None else s for s in line["preference"]], dtype=float)
            answered = preference[~np.isnan(preference)]
            regret += float((1 - answered).sum())
            liked = np.flatnonzero(preference > 0.5)
            if np.isnan(first) and len(liked):
                first = labels + int(liked[0]) + 1
            labels += len(preference)
            index = line["round"] + 1
            if len(answered):
                rows.append(Row("like_rate", float(answered.mean()), "share", index, "round"))
            rows.append(Row("regret", regret, "items", index, "round"))
        rows.append(Row("regret", regret, "items", run.last))
        rows.append(Row("labels_to_first_like", float(first), "labels", run.last))
        return rows


class Cost(Metric):
    """While learning, by round and in all: forward, backward, frozen (denoiser evaluations, one per item and noise
    level); train (evaluations of training: a forward and a backward each, and the frozen base); seconds, without
    measuring. In all: labels, peak_memory, sample (evaluations per generated image; of particle methods in whole
    populations), amortized_cost_100 (the same plus a hundredth of the evaluations for learning), diverged (1 or 0)."""

    def measure(self, run: RunView) -> list[Row]:
        meta = run.meta
        learning, total = meta.learning.model_dump(), meta.total.model_dump()
        rows = [row for line in run.rounds for row in _spent(line, int(line["round"]), "round")]
        rows += _spent(learning | {"seconds": run.rounds[-1]["seconds"]} if run.rounds else learning, run.last, "final")
        rows.append(Row("labels", meta.labels, "labels", run.last))
        rows.append(Row("peak_memory", meta.peak_memory_mib, "MiB", run.last))
        rows.append(Row("diverged", float(meta.status == "diverged"), "", run.last))
        if "final" in run.images:
            n = len(run.images["final"])
            sample = (total["forward"] - learning["forward"]) / n
            rows.append(Row("sample", sample, "evaluations", run.last))
            rows.append(
                Row("amortized_cost_100", sample + sum(learning.values()) / AMORTIZED_OVER, "evaluations", run.last)
            )
        return rows


def _spent(counts: dict[str, Any], index: int, stage: str) -> list[Row]:
    rows = [Row(name, float(counts[name]), "evaluations", index, stage) for name in ("forward", "backward", "frozen")]
    train = 2 * float(counts["backward"]) + float(counts["frozen"])
    rows.append(Row("train", train, "evaluations", index, stage))
    if counts.get("seconds"):
        rows.append(Row("seconds", float(counts["seconds"]), "s", index, stage))
    return rows
