"""The measures: a line here for each group. Imports no torch."""

from __future__ import annotations

from papa.registry import module_of

METRICS: dict[str, str] = {
    "session": "papa.benchmark.metrics.session:Session",
    "preference": "papa.benchmark.metrics.preference:Preference",
    "fidelity": "papa.benchmark.metrics.fidelity:Fidelity",
    "diversity": "papa.benchmark.metrics.diversity:Diversity",
    "manifold": "papa.benchmark.metrics.manifold:Manifold",
    "retention": "papa.benchmark.metrics.preference:Retention",
    "golden": "papa.benchmark.metrics.golden:Golden",
    "cost": "papa.benchmark.metrics.cost:Cost",
}


def modules() -> tuple[str, ...]:
    """The modules of all measures."""
    return tuple(map(module_of, METRICS.values()))
