"""What an aligned model still draws when it is asked for something else."""

from __future__ import annotations

import numpy as np

from papa.benchmark.metrics.interface import Metric, Row, RunView


class Retention(Metric):
    """retention_<judge>: share of the samples under another prompt ("a photo of a banana") whose class, by that
    judge, is what the prompt asks for. The base's own row is what there was to retain."""

    def measure(self, run: RunView) -> list[Row]:
        images = run.images.get("retention")
        other = None if images is None else run.bench.task.retention(run.user.classes)
        if images is None or other is None:
            return []
        return [
            Row(f"retention_{name}", float(np.isin(decided(images), other[1]).mean()), "share", run.last)
            for name, decided in run.decided.items()
        ]
