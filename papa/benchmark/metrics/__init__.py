"""The measures: a line here for each group. Imports no torch."""

from __future__ import annotations

METRICS: dict[str, str] = {
    "session": "papa.benchmark.metrics.session:Session",
    "preference": "papa.benchmark.metrics.preference:Preference",
    "fidelity": "papa.benchmark.metrics.fidelity:Fidelity",
    "diversity": "papa.benchmark.metrics.diversity:Diversity",
    "manifold": "papa.benchmark.metrics.manifold:Manifold",
    "retention": "papa.benchmark.metrics.preference:Retention",
    "golden": "papa.benchmark.metrics.preference:Golden",
    "cost": "papa.benchmark.metrics.session:Cost",
}
