"""T7: the claims of the papers with their verdicts."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from papa.benchmark.grid import Grid
from papa.files import write_atomic
from papa.paper import claims, report, select
from papa.paper.claims import Judged, Verdict
from papa.paper.stats import Estimate
from papa.paper.tables import Made

AXES = [
    "id",
    "verdict",
    "sentence",
    "source",
    "comparison",
    "users",
    "effect",
    "lower",
    "upper",
    "seeds",
    "p",
    "p_holm",
    "reason",
    "refuted_by",
]


def frame(judged: list[Judged]) -> pd.DataFrame:
    """T7, one row per claim: raw values of the finding that decides."""
    rows = []
    for entry in judged:
        found = entry.deciding
        estimate = found.estimate if found else Estimate(math.nan, math.nan, math.nan, 0, "none")
        rows.append(
            {key: getattr(entry.claim, key) for key in ("id", "sentence", "source", "refuted_by")}
            | {"verdict": entry.verdict, "reason": entry.reason, "p": entry.p, "p_holm": entry.p_holm}
            | {"users": " ".join(found.users) if found else ""}
            | {"comparison": found.comparison if found else "", "effect": estimate.mean, "seeds": estimate.n}
            | {"lower": estimate.lower, "upper": estimate.upper}
        )
    return pd.DataFrame(rows, columns=AXES)


def markdown(judged: list[Judged]) -> str:
    """T7, readable."""
    rows = []
    for entry in judged:
        found = entry.deciding
        effect = report.signed(found.estimate) if found else report.NOTHING
        p = report.number(entry.p_holm) if entry.p_holm >= 0.001 else "< 0.001" if entry.p_holm >= 0 else report.NOTHING
        seeds = str(found.estimate.n) if found else "0"
        comparison = found.comparison if found else ""
        rows.append([entry.claim.sentence, f"**{entry.verdict}**", comparison, effect, seeds, p, entry.reason])
    return report.markdown(["claim", "verdict", "comparison", "effect", "seeds", "p (Holm)", "reason"], rows, left=3)


def caption(judged: list[Judged], table: pd.DataFrame, grid: Grid) -> str:
    """The caption of T7."""
    counts = [f"{sum(e.verdict == v for e in judged)} {v}" for v in get_args(Verdict)]
    return report.paragraph(
        f"The papers' claims, each with a margin named beforehand: {', '.join(counts)}. Where a claim has several "
        f"comparisons, the weakest is shown. p: one-sided t tests to both sides of the margin over seeds, doubled, "
        "Holm-corrected over all claims of an experiment that are not retired; no verdict below "
        f"{claims.MIN_SEEDS} seeds.",
        report.unit_sentence(grid),
        report.diverged_sentence(table, sorted(table.task.unique()), select.ordered(grid)),
        table.attrs.get("about", ""),
    )


def make(table: pd.DataFrame, grid: Grid) -> Made:
    """T7 from the long table."""
    judged = claims.judge(claims.load(), table, grid)
    return Made(frame(judged), markdown(judged), caption(judged, table, grid))


def write(table: pd.DataFrame, grid: Grid, results_folder: Path) -> list[Path]:
    """Judge every claim and write `claims.json`, `claims.md` and its caption (table T7 shows the same ledger).

    Raises:  RecordError for a long table that is not one, OSError.
    """
    folder = Path(results_folder)
    table = select.check(table)
    judged = claims.judge(claims.load(), table, grid)
    text = (
        json.dumps(
            [_as_json(entry, row) for entry, row in zip(judged, frame(judged).to_dict("records"), strict=True)],
            indent=2,
            ensure_ascii=False,
        )
        + "\n"
    )
    said = caption(judged, table, grid)
    return [
        write_atomic(folder / "claims.json", text),
        write_atomic(folder / "claims.md", f"# Claims\n\n{said}\n{markdown(judged)}"),
        write_atomic(folder / "claims.rst", said),
    ]


def _as_json(entry: Judged, row: dict[Any, Any]) -> Any:
    claim = entry.claim.model_dump(exclude_none=True)
    whole = row | {"parts": claim["parts"], "findings": [asdict(found) for found in entry.findings]}
    return _plain(whole)


def _plain(value: Any) -> Any:
    """JSON's own types; NaN becomes null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
