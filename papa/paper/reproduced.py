"""Whether a fresh run reproduces reference results: cell by cell, with the tolerance that both intervals imply."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from papa.files import write_atomic
from papa.paper import cells, report
from papa.paper.stats import SAME, holm

REPRODUCED, DIFFERS, FEW, MISSING = "reproduced", "differs", "too few seeds", "not run"
MOST = 20
"""Cells that differ which are named."""


@dataclass(frozen=True)
class Comparison:
    """cells: the cells of the reference with the fresh ones beside them, `difference`, `tolerance`, `p`, `verdict`.
    confidence: the level of the tolerances."""

    cells: pd.DataFrame
    confidence: float

    @property
    def share(self) -> float:
        """Share of the cells that could be compared which are reproduced; NaN where none could."""
        counted = self.cells[self.cells.verdict.isin([REPRODUCED, DIFFERS])]
        return float((counted.verdict == REPRODUCED).mean()) if len(counted) else math.nan

    def methods(self) -> pd.DataFrame:
        """task, method -> cells compared, how many are reproduced, and the verdict on the method: it differs where one
        of its cells does after Holm's correction over its cells, so that chance alone says so in one of twenty."""
        rows = []
        for (task, method), of in self.cells.groupby(["task", "method"], sort=False):
            counted = of[of.verdict.isin([REPRODUCED, DIFFERS])]
            if counted.empty:
                verdict = MISSING if (of.verdict == MISSING).all() else FEW
            else:
                verdict = DIFFERS if min(holm(counted.p.tolist())) < 1 - self.confidence else REPRODUCED
            counts = {"cells": len(counted), "reproduced": int((counted.verdict == REPRODUCED).sum())}
            rows.append({"task": task, "method": method} | counts | {"verdict": verdict})
        return pd.DataFrame(rows, columns=["task", "method", "cells", "reproduced", "verdict"])


def compare(reference: pd.DataFrame, fresh: pd.DataFrame, confidence: float = 0.95) -> Comparison:
    """Compare the cells of a reference with those of another run of the same experiment, on other seeds.

    A cell is reproduced where the difference of the means is within Welch's interval of it: the deviations of both
    sides, by t quantiles. Values of no spread on either side (what an image costs) have to be equal.
    """
    both = reference.merge(fresh, "left", cells.AXES, suffixes=("", "_fresh"))
    judged = [_judged(row, confidence) for row in both.to_dict("records")]
    return Comparison(pd.concat([both, pd.DataFrame(judged, index=both.index)], axis=1), confidence)


def _judged(row: dict, confidence: float) -> dict[str, object]:
    difference = row["mean_fresh"] - row["mean"]
    found: dict[str, object] = {"difference": difference, "tolerance": math.nan, "p": math.nan}
    if not math.isfinite(difference):
        return found | {"verdict": MISSING}
    counts = np.array([row["seeds"], row["seeds_fresh"]])
    if counts.min() < 2:
        return found | {"verdict": FEW}
    error = np.array([row["deviation"], row["deviation_fresh"]]) ** 2 / counts
    whole = float(error.sum())
    if math.sqrt(whole) <= SAME * max(1.0, abs(row["mean"])):
        same = abs(difference) <= SAME * max(1.0, abs(row["mean"]))
        return found | {"tolerance": 0.0, "p": float(same), "verdict": REPRODUCED if same else DIFFERS}
    freedom = whole**2 / float((error**2 / (counts - 1)).sum())  # Welch and Satterthwaite
    tolerance = float(scipy_stats.t.ppf((1 + confidence) / 2, freedom)) * math.sqrt(whole)
    p = 2 * float(scipy_stats.t.sf(abs(difference) / math.sqrt(whole), freedom))
    verdict = REPRODUCED if abs(difference) <= tolerance else DIFFERS
    return {"difference": difference, "tolerance": tolerance, "p": p, "verdict": verdict}


def write(found: Comparison, reference: Path, about: str, folder: Path) -> list[Path]:
    """Write `check.md` and `check.csv`.

    Args:    reference: the folder compared with. about: a sentence on the fresh runs.
    """
    methods = found.methods()
    compared = int(methods.cells.sum())
    text = report.paragraph(
        f"**{int(methods.reproduced.sum())} of {compared} cells are reproduced"
        f"{'' if math.isnan(found.share) else f' ({found.share:.0%})'}**, compared with {reference}.",
        f"A cell is reproduced where the means differ by no more than Welch's {found.confidence:.0%} interval of their "
        f"difference, so about {1 - found.confidence:.0%} of the cells differ by chance.",
        about,
    )
    heads = ["task", "method", "cells", "reproduced", "verdict"]
    lines = [[str(row[head]) for head in heads] for row in methods.to_dict("records")]
    parts = [text, report.markdown(heads, lines, left=2)]
    if len(apart := found.cells[found.cells.verdict == DIFFERS].sort_values("p").head(MOST)):
        names = ["task", "user", "method", "measure", "reference", "here", "tolerance"]
        rows = [
            [row["task"], row["user"], row["method"], cells.COMPARED[row["metric"]]]
            + [report.number(row[name]) for name in ("mean", "mean_fresh", "tolerance")]
            for row in apart.to_dict("records")
        ]
        parts.append(f"Cells that differ, the least likely first:\n\n{report.markdown(names, rows, left=4)}")
    return [
        write_atomic(folder / "check.md", "\n".join(parts)),
        report.write_csv(folder / "check.csv", found.cells),
    ]
