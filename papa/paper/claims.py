"""The verdicts on the claims of the papers.

Every claim is an entry of `claims.yaml`; its verdict is one of

    supported   its effect is beyond its margin on the claimed side
    refuted     it is beyond the margin on the other side
    undecided   neither can be said (always so below 5 seeds)
    not run     a method, metric or user that it needs is not in the table

A claim of several parts is supported if all parts are (intersection-union test, the largest p), and refuted if one is
(the smallest p, Bonferroni-corrected over the parts). The p-value of a claim is twice the smaller of both, corrected
after Holm over all claims of an experiment: a claim that was not run counts with p = 1, so that the correction does not
depend on what ran.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import pandas as pd
import yaml
from pydantic import model_validator

from papa.benchmark.grid import Grid
from papa.paper import effects, report, select, stats
from papa.paper.stats import Estimate
from papa.settings import Settings

MIN_SEEDS = 5
Verdict = Literal["supported", "refuted", "undecided", "not run"]


class Part(Settings):
    """One comparison of a claim; the keys are explained at the top of claims.yaml."""

    metric: str
    compare: Literal["value", "difference", "matched", "flips", "persons"]
    method: str | list[str]
    reference: str | None = None
    minus: str | None = None
    users: Literal["mean", "each"] = "mean"
    at_least: float | None = None
    at_most: float | None = None
    study: dict[str, str | int | bool] | None = None
    less: dict[str, str | int | bool] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Part:
        if self.at_least is None and self.at_most is None:
            raise ValueError("a part needs a margin: at_least, at_most or both.")
        if (self.study is None) != (self.compare != "persons") or (self.less is not None and self.study is None):
            raise ValueError("study and less go with compare: persons.")
        if self.study is None and (self.reference is None) != (self.compare == "value"):
            raise ValueError(
                f"compare: {self.compare} {'takes no' if self.compare == 'value' else 'needs a'} reference."
            )
        return self

    @property
    def methods(self) -> list[str]:
        return [self.method] if isinstance(self.method, str) else list(self.method)


class Claim(Settings):
    """A sentence of a paper, the comparisons that decide it, and what would refute it."""

    id: str
    sentence: str
    source: str
    refuted_by: str
    history: str | None = None
    parts: list[Part]
    task: str = "digits"
    experiment: str = "default"
    """The experiment that decides it. Each is a family of tests."""
    flip: float = 0.0
    settings: dict[str, dict[str, Any]] = {}
    """Label -> settings that the sentence names."""

    @model_validator(mode="after")
    def _flips(self) -> Claim:
        if (self.flip > 0) != any(part.compare == "flips" for part in self.parts):
            raise ValueError("flip goes with compare: flips.")
        return self


@dataclass(frozen=True)
class Finding:
    """A part of a claim for one method and one bound.

    Attributes:
        users: the users over whom the effect is averaged within each seed; none for persons of the study.
        p_for: of "the bound holds", a one-sided t test over seeds or persons.
        p_against: of "the bound does not hold".
        diverged: number of diverged runs of the method.
    """

    comparison: str
    users: list[str]
    estimate: Estimate
    p_for: float
    p_against: float
    diverged: int


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict."""

    claim: Claim
    verdict: Verdict
    reason: str
    findings: list[Finding] = field(default_factory=list)
    p: float = math.nan
    p_holm: float = math.nan

    @property
    def deciding(self) -> Finding | None:
        """The weakest finding, by p."""
        return max(
            self.findings, key=lambda found: (np.nan_to_num(found.p_for, nan=-1.0), found.comparison), default=None
        )


def load() -> list[Claim]:
    """The ledger, as shipped."""
    return [
        Claim.model_validate(entry)
        for entry in yaml.safe_load(files("papa.paper").joinpath("claims.yaml").read_text(encoding="utf-8"))
    ]


# ---------------------------------------------------------------- findings


def _findings(claim: Claim, table: pd.DataFrame, grid: Grid) -> Iterator[Finding]:
    for part in claim.parts:
        if part.study is not None:
            yield from _bounds(part, _of_study(part), [], effects.by_person(part, grid), grid, 0)
            continue
        for method in part.methods:
            found = effects.of(part, claim, method, table, grid)
            effects.check_users(part, claim, method, found, grid)
            users = list(found.index.unique("user"))
            asked = [
                *select.users_of(grid, claim.task),
                *(effects.flipping(claim, grid) if part.compare == "flips" else {}),
            ]
            lost = select.diverged(table, claim.task, method, asked)
            for whose, values in effects.units(part, found).items():
                yield from _bounds(part, _spelled(part, method + whose), users, values.to_numpy(), grid, lost)


def _bounds(part: Part, text: str, users: list[str], seeds: np.ndarray, grid: Grid, lost: int) -> Iterator[Finding]:
    """A finding for each margin of a part."""
    found = stats.estimate(seeds, grid.config.confidence)
    for sign, bound, test in (("≥", part.at_least, stats.p_at_least), ("≤", part.at_most, stats.p_at_most)):
        if bound is not None:
            p = test(seeds, bound)
            yield Finding(f"{text} {sign} {bound:g}", users, found, p, 1 - p, lost)


def _of_study(part: Part) -> str:
    rows = " ".join(f"{name} {value}" for name, value in (part.study or {}).items())
    less = " ".join(f"{name} {value}" for name, value in (part.less or {}).items())
    return f"{part.metric} of {rows}" + (f" − {less}" if less else "")


def _spelled(part: Part, method: str) -> str:
    what = part.metric + (f" − {part.minus}" if part.minus else "")
    return {
        "value": f"{what} of {method}",
        "difference": f"{what}: {method} − {part.reference}",
        "matched": f"{what} at equal preference: {method} − {part.reference}",
        "flips": f"{what} through flips: {method} − {part.reference}",
    }[part.compare]


# ---------------------------------------------------------------- verdicts


def judge(claims: list[Claim], table: pd.DataFrame, grid: Grid) -> list[Judged]:
    """Every claim with its verdict, in the ledger's order.

    Raises:  RecordError for an invalid long table.
    """
    table = select.check(table)
    first = [_judge_alone(claim, table, grid) for claim in claims]
    corrected: dict[int, float] = {}
    for name in {claim.experiment for claim in claims}:
        family = [i for i, of in enumerate(first) if of.claim.experiment == name]
        p_values = [1.0 if math.isnan(first[index].p) else first[index].p for index in family]
        corrected |= dict(zip(family, stats.holm(p_values), strict=True))
    alpha = 1 - grid.config.confidence
    return [j if math.isnan(j.p) else _decide(j, corrected[index], alpha) for index, j in enumerate(first)]


def _judge_alone(claim: Claim, table: pd.DataFrame, grid: Grid) -> Judged:
    try:
        effects.check_settings(claim, grid)
        findings = list(_findings(claim, table, grid))
    except effects.NotRunError as error:
        return Judged(claim, "not run", str(error))
    seeds = min(found.estimate.n for found in findings)
    if seeds < MIN_SEEDS:
        return Judged(claim, "undecided", f"{report.plural(seeds, 'seed')}; a verdict needs {MIN_SEEDS}", findings)
    return Judged(claim, "undecided", "", findings, p=min(1.0, 2 * min(_sides(findings))))


def _sides(findings: list[Finding]) -> tuple[float, float]:
    """p of "all hold" (intersection-union) and of "one does not" (Bonferroni)."""
    against = len(findings) * min(found.p_against for found in findings)
    return max(found.p_for for found in findings), min(1.0, against)


def p_text(p: float) -> str:
    """A p-value for readers."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _decide(judged: Judged, p_holm: float, alpha: float) -> Judged:
    p_for, p_against = _sides(judged.findings)
    lost = sum({found.comparison: found.diverged for found in judged.findings}.values())
    verdict: Verdict = "undecided"
    if p_holm < alpha and p_against < p_for:
        verdict, reason = "refuted", "the effect is clear of its margin, on the other side"
    elif p_holm < alpha and lost:
        reason = "runs of the claim's own method diverged; the remaining ones support it"
    elif p_holm < alpha:
        verdict, reason = "supported", "the effect is clear of its margin"
    elif judged.p < alpha:
        side = "" if p_for <= p_against else "against it "
        reason = f"clear {side}alone (p = {p_text(judged.p)}), not after correction for all claims ({p_text(p_holm)})"
    else:
        reason = f"the effect is not clear of its margin (p = {p_text(judged.p)})"
    return Judged(judged.claim, verdict, reason, judged.findings, judged.p, p_holm)
