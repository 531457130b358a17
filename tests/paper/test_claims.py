"""The ledger: every verdict can be reached, and by the effect that should lead to it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError
from support import synthetic

from papa.benchmark.grid import Grid
from papa.paper import claims, tables
from papa.paper.claims import Claim, Judged
from papa.paper.tables import ledger

SEEDS = 6


@pytest.fixture(scope="module")
def grid() -> Grid:
    return synthetic.grid(seeds=SEEDS)


@pytest.fixture(scope="module")
def table(grid: Grid) -> pd.DataFrame:
    return synthetic.long_table(grid, rounds=1)


def verdicts(table: pd.DataFrame, grid: Grid) -> dict[str, Judged]:
    return {judged.claim.id: judged for judged in claims.judge(claims.load(), table, grid)}


def verdict(name: str, table: pd.DataFrame, grid: Grid) -> Judged:
    """The verdict on one claim of the ledger, alone."""
    return claims.judge([claim for claim in claims.load() if claim.id == name], table, grid)[0]


def one(table: pd.DataFrame, grid: Grid, **part: object) -> Judged:
    """The verdict on a ledger of one claim of one part."""
    claim = Claim.model_validate({"id": "x", "sentence": "", "source": "", "refuted_by": "", "parts": [part]})
    return claims.judge([claim], table, grid)[0]


# Each claim that the synthetic grid can decide, with a shift of one method's metric that makes it
# true and one that makes it false, whatever the drawn numbers were.
BOTH_WAYS = [
    ("papa-beats-base", "papa", "preference_gold", 0.3, -0.4),
    ("papa-beats-base", "papa", "labels", 0, 80),
    ("qpde-keeps-diversity", "papa-no-qpde", "pairwise_ratio", -0.1, 0.4),
    ("epapa-is-cheaper", "epapa", "preference_gold", 0.1, -0.3),
    ("fkc-reaches-papa", "fkc", "preference_gold", 0.5, 0.0),
    ("fkc-tuned-reaches-papa", "fkc-tuned", "preference_gold", 0.0, -0.5),
    ("fkc-tuned-reaches-papa", "fkc-tuned", "train", 0.0, 100.0),
    ("fkc-keeps-diversity", "papa", "pairwise_ratio", -0.2, 0.2),
    ("no-reward-hacking", "epapa", "preference_held_out", 0.0, -0.3),
    ("diversity-term-works", "fkc-diversity", "pairwise_ratio", 0.1, -0.1),
    ("fkc-samples-the-tilt", "fkc-true-b2", "liking_measured", 0.0, -0.2),
    ("fkc-samples-the-tilt", "fkc-true-b2", "liking_measured", 0.0, 0.3),
]


@pytest.mark.parametrize(("claim", "method", "metric", "true", "false"), BOTH_WAYS)
def test_every_claim_can_be_supported_and_refuted(
    claim: str, method: str, metric: str, true: float, false: float, table: pd.DataFrame, grid: Grid
) -> None:
    supported = verdict(claim, synthetic.shift(table, method, metric, true), grid)
    refuted = verdict(claim, synthetic.shift(table, method, metric, false), grid)
    assert (supported.verdict, refuted.verdict) == ("supported", "refuted")


def test_epapa_at_more_than_its_share_of_evaluations_is_refuted(table: pd.DataFrame, grid: Grid) -> None:
    better = synthetic.shift(table, "epapa", "preference_gold", 0.1)
    judged = verdict("epapa-is-cheaper", synthetic.shift(better, "epapa", "train", 900.0), grid)
    assert judged.verdict == "refuted" and judged.deciding is not None
    assert judged.deciding.comparison == "train: epapa / papa ≤ 0.6"
    assert judged.deciding.estimate.mean == pytest.approx((3 * 6144 + 900) / (3 * 10240))


def test_below_five_seeds_all_is_undecided() -> None:
    grid = synthetic.grid(seeds=4)
    found = verdicts(synthetic.long_table(grid, rounds=1), grid)
    assert {judged.verdict for judged in found.values()} == {"undecided", "not run"}
    assert "4 seeds" in found["papa-beats-base"].reason


def test_five_seeds_are_enough() -> None:
    grid = synthetic.grid(seeds=5)
    assert verdict("papa-beats-base", synthetic.long_table(grid, rounds=1), grid).verdict == "supported"


def test_what_did_not_run_is_named(table: pd.DataFrame, grid: Grid) -> None:
    found = verdicts(table, grid)
    assert found["ppd-few-shots"].verdict == "not run" and "ppd" in found["ppd-few-shots"].reason
    assert found["papa-survives-flips"].verdict == "not run" and "20%" in found["papa-survives-flips"].reason
    gone = verdict("qpde-keeps-diversity", table[table.method != "papa-no-qpde"], grid)
    assert gone.verdict == "not run" and "papa-no-qpde" in gone.reason
    assert {judged.verdict for judged in verdicts(table.iloc[:0], grid).values()} == {"not run"}


def test_flipped_users_decide_their_claim_and_no_other() -> None:
    users = {"noisy": {"user": "likes-3", "flip": 0.2}}
    blocks = {name: block.model_dump() for name, block in synthetic.grid(seeds=SEEDS).config.grid.items()}
    blocks["noise"] = {
        "task": "digits",
        "methods": ["papa", "best_of_16"],
        "users": ["noisy"],
        "seeds": list(range(SEEDS)),
    }
    grid = synthetic.grid(seeds=SEEDS, users=users, grid=blocks)
    clean = synthetic.long_table(synthetic.grid(seeds=SEEDS), rounds=1)
    noisy = clean[(clean.user == "likes-3") & clean.method.isin(["papa", "best_of_16"])].assign(user="noisy")
    table = pd.concat([clean, synthetic.shift(noisy, "papa", "preference_gold", 0.5)])
    found = verdicts(table, grid)
    assert found["papa-survives-flips"].verdict == "supported"
    assert found["papa-beats-base"].findings == verdict("papa-beats-base", clean, grid).findings


def test_an_effect_at_its_margin_is_undecided(table: pd.DataFrame, grid: Grid) -> None:
    part = {"metric": "preference_gold", "compare": "difference", "method": "papa", "reference": "epapa"}
    effect = one(table, grid, **part, at_least=0).findings[0].estimate
    assert one(table, grid, **part, at_least=effect.mean).verdict == "undecided"
    assert one(table, grid, **part, at_least=effect.mean - 0.2).verdict == "supported"
    assert one(table, grid, **part, at_least=effect.mean + 0.2).verdict == "refuted"


def test_holm_keeps_a_close_call_undecided_in_a_large_ledger(table: pd.DataFrame, grid: Grid) -> None:
    part = {"metric": "preference_gold", "compare": "difference", "method": "papa", "reference": "epapa"}
    estimate = one(table, grid, **part, at_least=0).findings[0].estimate
    margin = estimate.mean - 1.05 * estimate.half_width  # just outside the 95% interval
    close = {"id": "c", "sentence": "", "source": "", "refuted_by": "", "parts": [part | {"at_least": margin}]}
    hopeless = close | {"parts": [part | {"at_least": estimate.mean}]}
    ledger = [Claim.model_validate(close), *[Claim.model_validate(hopeless)] * 10]
    assert claims.judge(ledger[:1], table, grid)[0].verdict == "supported"
    judged = claims.judge(ledger, table, grid)[0]
    assert judged.verdict == "undecided" and judged.p_holm == pytest.approx(11 * judged.p)


def test_a_diverged_run_of_its_own_method_keeps_a_claim_from_being_supported(table: pd.DataFrame, grid: Grid) -> None:
    own = verdict("papa-beats-base", synthetic.diverge(table, "papa"), grid)
    assert own.verdict == "undecided" and "diverged" in own.reason
    other = verdict("qpde-keeps-diversity", synthetic.diverge(table, "papa-no-qpde"), grid)
    assert other.verdict == "supported", "a rival's failures do not count against the claim"


def points(table: pd.DataFrame, values: dict[str, tuple[float, float]]) -> pd.DataFrame:
    """The table with these (preference, distance) for some methods in every run."""
    for method, pair in values.items():
        for metric, value in zip(("preference_gold", "pairwise_ratio"), pair, strict=True):
            hit = (table.method == method) & (table.metric == metric)
            table = table.assign(value=table.value.mask(hit, value))
    return table


def test_matched_interpolates_whole_sweeps_at_equal_preference(table: pd.DataFrame, grid: Grid) -> None:
    line = {"fkc-b0.5": (0.3, 1.0), "fkc-b1": (0.4, 1.0), "fkc": (0.6, 1.0), "fkc-b4": (0.8, 0.9), "fkc-b8": (0.9, 0.7)}
    line |= {"fkc-tuned": (0.95, 0.6), "papa": (0.85, 0.75), "epapa": (0.5, 1.0)}
    found = verdict("fkc-keeps-diversity", points(table, line), grid)
    assert found.findings[0].estimate.mean == pytest.approx(0.05)
    outside = points(table, line | {"papa": (0.99, 0.75)})
    assert verdict("fkc-keeps-diversity", outside, grid).verdict == "not run"


def test_files(table: pd.DataFrame, grid: Grid, tmp_path: Path) -> None:
    paths = ledger.write(table, grid, tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in paths]
    assert names == ["claims.json", "claims.md", "claims.rst"]
    entries = json.loads(paths[0].read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert [entry["id"] for entry in entries] == [claim.id for claim in claims.load()]
    assert all(entry["refuted_by"] and entry["source"] for entry in entries)
    csv = tables.make("T7", table, grid).frame.set_index("id")
    assert csv.verdict["papa-beats-base"] == "supported" and csv.seeds["papa-beats-base"] == SEEDS
    assert csv.effect["papa-beats-base"] > 0.3 and csv.p_holm["papa-beats-base"] < 0.05
    assert "**supported**" in paths[1].read_text() and "Holm" in paths[2].read_text()


@pytest.mark.parametrize(
    "part",
    [
        {"metric": "m", "compare": "value", "method": "papa"},
        {"metric": "m", "compare": "difference", "method": "papa", "at_least": 0},
        {"metric": "m", "compare": "value", "method": "papa", "reference": "base", "at_least": 0},
        {"metric": "m", "compare": "matched", "method": "papa", "reference": "base", "at_least": 0},
        {"metric": "m", "compare": "value", "method": "papa", "at_leest": 0},
    ],
)
def test_a_part_that_decides_nothing_is_refused(part: dict) -> None:
    with pytest.raises(ValidationError):
        claims.Part.model_validate(part)
