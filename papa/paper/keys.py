"""Dependencies of a table or figure: its runs and its sources. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from papa.benchmark.runs.key import files_of, source_hash
from papa.benchmark.runs.record import digest_of
from papa.benchmark.specs import RunSpec
from papa.paper.figures import FIGURES
from papa.paper.tables import TABLES
from papa.registry import module_of


def made_from(specs: Iterable[RunSpec], target: str) -> list[str]:
    """The key of a table or figure.

    Args:
        specs: the runs that it shows.
        target: the "module:function" that makes it. Of `papa.paper`, the modules of other tables and figures do not
            count.
    """
    own = module_of(target)
    others = {module_of(other) for other in (*TABLES.values(), *FIGURES.values())} - {own}
    sources = {*files_of("papa.paper")}.difference(*map(files_of, others))
    return [digest_of(sorted(spec.score_key for spec in specs)), source_hash(frozenset(sources))]
