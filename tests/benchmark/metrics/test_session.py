"""What a session was like for the user, and what it cost, by hand."""

from __future__ import annotations

import math

import pytest
from support.pixels import bench, normal, values, view

from papa.benchmark.metrics.session import Cost, Session
from papa.benchmark.runs.record import Evaluations


def test_session_measures_by_hand() -> None:
    feedback = [
        {"round": 0, "preference": [0.0, None, 0.0]},
        {"round": 1, "preference": [0.0, 1.0, None]},
        {"round": 2, "preference": [None, None, None]},
        {"round": 3, "preference": [1.0, 1.0, 0.0]},
    ]
    rows = Session().measure(view(bench(), feedback=feedback))
    rates = {row.round: row.value for row in rows if row.metric == "like_rate"}
    assert rates == {1: 0.0, 2: 0.5, 4: pytest.approx(2 / 3)}
    assert [row.value for row in rows if row.metric == "regret" and row.stage == "round"] == [2.0, 3.0, 3.0, 4.0]
    # The second item of round 1 is the fifth label; unanswered items cost labels too.
    assert values(rows) == {"regret": 4.0, "labels_to_first_like": 5.0}


def test_graded_answers_count_by_degree() -> None:
    rows = Session().measure(view(bench(), feedback=[{"round": 0, "preference": [0.25, 0.5, 0.75]}]))
    assert values(rows) == {"regret": pytest.approx(1.5), "labels_to_first_like": 3.0}
    none = Session().measure(view(bench(), feedback=[{"round": 0, "preference": [0.0, 0.0]}]))
    assert math.isnan(values(none)["labels_to_first_like"])


def test_cost_by_hand() -> None:
    spent = {"forward": 100, "backward": 40, "frozen": 10}
    meta = {
        "labels": 5,
        "peak_memory_mib": 321.0,
        "status": "done",
        "learning": Evaluations(**spent),
        "total": Evaluations(**spent | {"forward": 180}),
    }
    lines = [{"round": "1", "seconds": "2.5", **{name: str(value) for name, value in spent.items()}}]
    found = values(Cost().measure(view(bench(), normal(20), meta=meta, rounds=lines)))
    assert found == {
        "labels": 5,
        **spent,
        "train": 90,
        "peak_memory": 321.0,
        "diverged": 0.0,
        "sample": 4.0,
        "amortized_cost_100": 5.5,  # and a hundredth of 150
        "seconds": 2.5,
    }
    lost = values(Cost().measure(view(bench(), meta=meta | {"status": "diverged"})))
    assert lost["diverged"] == 1.0 and "sample" not in lost
