"""The claims of the papers, held against the long table.

Every claim is an entry of `claims.yaml`; its verdict is one of

    supported   its effect lies beyond its margin on the claimed side
    refuted     it lies beyond the margin on the other side
    undecided   neither can be said (always so below 5 seeds)
    not run     a method, metric or user that it needs is not in the table

A claim of several parts is supported if all parts are (intersection-union test, the largest p), and
refuted if one is (the smallest p, Bonferroni-corrected over the parts). The p-value of a claim is
twice the smaller of both, corrected after Holm over all claims that could be tested.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Literal

import numpy as np
import pandas as pd
import yaml
from pydantic import model_validator

from papa.benchmark.grid import Grid
from papa.paper import report, select, stats
from papa.paper.stats import Estimate
from papa.settings import Settings

MIN_SEEDS = 5
Verdict = Literal["supported", "refuted", "undecided", "not run"]
PREFERENCE = "preference_gold"


class Part(Settings):
    """One comparison of a claim; the keys are explained at the top of claims.yaml."""

    metric: str
    compare: Literal["value", "difference", "ratio", "matched"]
    method: str
    reference: str | list[str] | None = None
    minus: str | None = None
    sweep: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _whole(self) -> Part:
        if self.at_least is None and self.at_most is None:
            raise ValueError("a part needs a margin: at_least, at_most or both.")
        if (self.reference is None) != (self.compare == "value"):
            raise ValueError(
                f"compare: {self.compare} {'takes no' if self.compare == 'value' else 'needs a'} reference."
            )
        if (self.sweep is None) == (self.compare == "matched"):
            raise ValueError("compare: matched, and only it, needs the setting to sweep over.")
        return self

    @property
    def references(self) -> list[str]:
        return [self.reference] if isinstance(self.reference, str) else list(self.reference or [])


class Claim(Settings):
    """A sentence of a paper, the comparison that decides it, and what would refute it."""

    id: str
    sentence: str
    source: str
    refuted_by: str
    parts: list[Part]
    task: str = "digits"
    flip: float = 0.0


@dataclass(frozen=True)
class Finding:
    """A part held against the table for one method and one bound.

    users: whom the effect is averaged over, within each seed. p_for: of "the bound holds"; p_against: of
    "it does not" (both one-sided t tests over seeds). diverged: runs of the method that are left out.
    """

    comparison: str
    users: list[str]
    estimate: Estimate
    p_for: float
    p_against: float
    diverged: int


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict; effect and interval are those of the finding that decides."""

    claim: Claim
    verdict: Verdict
    reason: str
    findings: list[Finding] = field(default_factory=list)
    p: float = math.nan
    p_holm: float = math.nan

    @property
    def deciding(self) -> Finding | None:
        """The weakest finding: all others speak more for the claim."""
        return max(
            self.findings, key=lambda found: (np.nan_to_num(found.p_for, nan=-1.0), found.comparison), default=None
        )


class NotRunError(Exception):
    """What a part needs is not in the table; the message names it."""


def load() -> list[Claim]:
    """The ledger, as shipped."""
    return [
        Claim.model_validate(entry)
        for entry in yaml.safe_load(files("papa.paper").joinpath("claims.yaml").read_text(encoding="utf-8"))
    ]


# ---------------------------------------------------------------- effects


def _users(claim: Claim, grid: Grid) -> list[str]:
    if not claim.flip:
        return select.users_of(grid, claim.task)
    return [user for user, entry in grid.config.users.items() if math.isclose(entry.get("flip", 0.0), claim.flip)]


def _methods(part: Part, claim: Claim, table: pd.DataFrame, grid: Grid) -> list[str]:
    """The labels that `method` stands for: one, or a group of those that ran."""
    if part.method not in ("main", "controls"):
        return [part.method]
    ran = set(table.loc[(table.task == claim.task) & (table.metric == part.metric), "method"])
    main = [m for m in select.main_methods(grid, claim.task) if m != select.BASE] if claim.task in grid.tasks else []
    group = main if part.method == "main" else [m for m in grid.methods if select.is_control(grid, m)]
    if not (found := [method for method in group if method in ran]):
        raise NotRunError(f"no {part.method} method with {part.metric} in the table")
    return found


def _values(table: pd.DataFrame, claim: Claim, method: str, metric: str, users: list[str]) -> pd.Series:
    found = select.values(table, claim.task, method, metric, users)
    if found.empty:
        of = f" for users who flip {claim.flip:.0%} of their answers" if claim.flip else ""
        lost = select.diverged(table, claim.task, method, users)
        raise NotRunError(
            f"every run of {method} diverged" if lost else f"no finished run of {method} with {metric}{of}"
        )
    return found


def _effects(part: Part, claim: Claim, method: str, table: pd.DataFrame, grid: Grid) -> pd.Series:
    """The effect of each (user, seed) that has all it needs."""
    users = _users(claim, grid)
    if part.compare == "matched":
        return _matched(part, claim, method, table, grid, users)
    found = _values(table, claim, method, part.metric, users)
    if part.minus:
        found = found - _values(table, claim, method, part.minus, users)
    if part.compare != "value":
        against = _values(table, claim, _best(part, claim, table, users), part.metric, users)
        found = found - against if part.compare == "difference" else found / against.where(against != 0)
    return found.dropna()


def _best(part: Part, claim: Claim, table: pd.DataFrame, users: list[str]) -> str:
    """The reference; of several the one with the highest gold preference among those that ran."""
    if len(part.references) == 1:
        return part.references[0]
    found = {name: select.values(table, claim.task, name, PREFERENCE, users) for name in part.references}
    means = {name: values.mean() for name, values in found.items() if not values.empty}
    return max(means, key=lambda name: means[name], default=part.references[0])


def _matched(part: Part, claim: Claim, method: str, table: pd.DataFrame, grid: Grid, users: list[str]) -> pd.Series:
    """Differences at equal gold preference, for the pairs where the sweep ran whole and brackets the reference.

    (A line between few points would lie below a concave front and speak against the method.)
    """
    reference = _best(part, claim, table, users)
    aim = _values(table, claim, reference, PREFERENCE, users)
    against = _values(table, claim, reference, part.metric, users)
    ran = set(table.loc[(table.task == claim.task) & (table.metric == PREFERENCE), "method"])
    points = select.sweep(grid, method, str(part.sweep), ran).points
    preference, metric = (_whole(table, claim, list(points), name, users) for name in (PREFERENCE, part.metric))
    effects = {}
    for pair in aim.index.intersection(against.index).intersection(preference.index).intersection(metric.index):
        line = pd.DataFrame({"x": preference.loc[pair], "y": metric.loc[pair]}).sort_values("x")
        if len(line) > 1 and line.x.iloc[0] <= aim[pair] <= line.x.iloc[-1]:
            effects[pair] = float(np.interp(aim[pair], line.x, line.y) - against[pair])
    if not effects:
        raise NotRunError(
            f"no seed where a whole sweep of {method} over {part.sweep} brackets the preference of {reference}"
        )
    return pd.Series(effects).rename_axis(select.RUN)


def _whole(table: pd.DataFrame, claim: Claim, methods: list[str], metric: str, users: list[str]) -> pd.DataFrame:
    """A metric of several methods, one column each, for the (user, seed) pairs that all of those that ran have."""
    found = {method: select.values(table, claim.task, method, metric, users) for method in methods}
    found = {method: values for method, values in found.items() if not values.empty}
    if not found:
        raise NotRunError(f"no finished run of {' or '.join(methods) or 'the method'} with {metric}")
    return pd.concat(found, axis=1).dropna()


def _findings(claim: Claim, table: pd.DataFrame, grid: Grid) -> Iterator[Finding]:
    for part in claim.parts:
        for method in _methods(part, claim, table, grid):
            effects = _effects(part, claim, method, table, grid)
            users, seeds = list(effects.index.unique("user")), stats.by_seed(effects).to_numpy()
            found = stats.estimate(seeds, grid.config.confidence)
            lost = select.diverged(table, claim.task, method, _users(claim, grid))
            text = _spelled(part, method)
            if part.at_least is not None:
                bound = f"{text} ≥ {part.at_least:g}"
                yield Finding(
                    bound,
                    users,
                    found,
                    stats.p_at_least(seeds, part.at_least),
                    stats.p_below(seeds, part.at_least),
                    lost,
                )
            if part.at_most is not None:
                bound = f"{text} ≤ {part.at_most:g}"
                yield Finding(
                    bound, users, found, stats.p_at_most(seeds, part.at_most), stats.p_above(seeds, part.at_most), lost
                )


def _spelled(part: Part, method: str) -> str:
    what = part.metric + (f" − {part.minus}" if part.minus else "")
    against = " or ".join(part.references)
    return {
        "value": f"{what} of {method}",
        "difference": f"{what}: {method} − {against}",
        "ratio": f"{what}: {method} / {against}",
        "matched": f"{what} at equal preference: {method} (over {part.sweep}) − best of {against}",
    }[part.compare]


# ---------------------------------------------------------------- verdicts


def judge(claims: list[Claim], table: pd.DataFrame, grid: Grid) -> list[Judged]:
    """Every claim with its verdict, in the ledger's order.

    Raises:  RecordError for a long table that is not one.
    """
    table = select.check(table)
    first = [_judge_alone(claim, table, grid) for claim in claims]
    tested = [index for index, judged in enumerate(first) if not math.isnan(judged.p)]
    adjusted = dict(zip(tested, stats.holm([first[index].p for index in tested]), strict=True))
    alpha = 1 - grid.config.confidence
    return [_decide(judged, adjusted[i], alpha) if i in adjusted else judged for i, judged in enumerate(first)]


def _judge_alone(claim: Claim, table: pd.DataFrame, grid: Grid) -> Judged:
    try:
        findings = list(_findings(claim, table, grid))
    except NotRunError as error:
        return Judged(claim, "not run", str(error))
    seeds = min(found.estimate.n for found in findings)
    if seeds < MIN_SEEDS:
        return Judged(claim, "undecided", f"{report.plural(seeds, 'seed')}; a verdict needs {MIN_SEEDS}", findings)
    return Judged(claim, "undecided", "", findings, p=min(1.0, 2 * min(_sides(findings))))


def _sides(findings: list[Finding]) -> tuple[float, float]:
    """p of "all hold" (intersection-union) and of "one does not" (Bonferroni)."""
    against = len(findings) * min(found.p_against for found in findings)
    return max(found.p_for for found in findings), min(1.0, against)


def _decide(judged: Judged, p_holm: float, alpha: float) -> Judged:
    p_for, p_against = _sides(judged.findings)
    lost = sum({found.comparison: found.diverged for found in judged.findings}.values())
    verdict: Verdict = "undecided"
    reason = "the effect is not clear of its margin"
    if p_holm < alpha and p_against < p_for:
        verdict, reason = "refuted", "the effect is clear of its margin, on the other side"
    elif p_holm < alpha and lost:
        reason = "runs of the claim's own method diverged; those left speak for it"
    elif p_holm < alpha:
        verdict, reason = "supported", "the effect is clear of its margin"
    return Judged(judged.claim, verdict, reason, judged.findings, judged.p, p_holm)


# ---------------------------------------------------------------- files
