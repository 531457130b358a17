"""The session as the user experiences it: the items that were shown."""

from __future__ import annotations

import numpy as np

from papa.benchmark.metrics.interface import Metric, Row, RunView


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
