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

AXES = ["id", "verdict", "sentence", "source", "comparison", "users", "effect", "lower", "upper", "seeds"]
AXES += ["p", "p_holm", "reason", "refuted_by"]


def frame(judged: list[Judged]) -> pd.DataFrame:
    """T7, one row per claim: raw values of the deciding finding."""
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
        seeds, comparison = (str(found.estimate.n), found.comparison) if found else ("0", "")
        p = claims.p_text(entry.p_holm) if entry.p_holm >= 0 else report.NOTHING
        rows.append([entry.claim.sentence, f"**{entry.verdict}**", comparison, effect, seeds, p, entry.reason])
    return report.markdown(["claim", "verdict", "comparison", "effect", "seeds", "p (Holm)", "reason"], rows, left=3)


def caption(judged: list[Judged], table: pd.DataFrame) -> str:
    """The caption of T7."""
    counts = [f"{sum(e.verdict == v for e in judged)} {v}" for v in get_args(Verdict)]
    return report.caption(
        "Verdicts on the claims of the papers",
        f"{', '.join(counts)}. Margins were named before the runs; the weakest comparison is shown. p is corrected "
        "over all claims of an experiment (Holm), intervals are not, so a clear interval can be undecided.",
        table.attrs.get("about", ""),
    )


def make(table: pd.DataFrame, grid: Grid) -> Made:
    """T7 from the long table."""
    judged = claims.judge(claims.load(), table, grid)
    return Made(frame(judged), markdown(judged), caption(judged, table))


def write(table: pd.DataFrame, grid: Grid, folder: Path) -> list[Path]:
    """Judge every claim and write `claims.json`, `claims.md` and its caption.

    Raises:
        RecordError: for a long table that lacks columns or has duplicate measurements.
    """
    table = select.check(table)
    judged = claims.judge(claims.load(), table, grid)
    entries = [_as_json(entry, row) for entry, row in zip(judged, frame(judged).to_dict("records"), strict=True)]
    text = caption(judged, table)
    return [
        write_atomic(folder / "claims.json", json.dumps(entries, indent=2, ensure_ascii=False) + "\n"),
        write_atomic(folder / "claims.md", f"# Claims\n\n{text}\n{markdown(judged)}"),
        write_atomic(folder / "claims.rst", text),
    ]


def _as_json(entry: Judged, row: dict[Any, Any]) -> Any:
    claim = entry.claim.model_dump(exclude_none=True)
    return _plain(row | {"parts": claim["parts"], "findings": [asdict(found) for found in entry.findings]})


def _plain(value: Any) -> Any:
    """JSON's own types; NaN becomes null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
