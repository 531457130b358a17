"""The ledger: every verdict can be reached, and by the effect that should lead to it."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError
from support import synthetic

from papa.benchmark.grid import Grid
from papa.paper import claims, tables
from papa.paper.claims import Claim, Judged, Part
from papa.paper.tables import ledger

SEEDS = 6
FLIPS = {f"{user}-flip20": {"user": user, "flip": 0.2} for user in synthetic.USERS[:2]}


MNIST_USERS = ["likes-1479", "likes-3"]
USERS_OF = {"digits": synthetic.USERS, "fruits": synthetic.FRUIT_USERS, "mnist": MNIST_USERS}
ALGORITHMS = {"best_of_16-features": "best_of_n", "dpok": "ddpo"}
"""Of labels that do not begin with the name of their method."""
# (Claims about persons of the study are held against it in tests/benchmark/test_personal_study.py.)
TESTED = [claim for claim in claims.load() if not any(part.study for part in claim.parts)]


def names(claim: Claim) -> set[str]:
    """Every method that a claim names."""
    return {name for part in claim.parts for name in [*part.methods, part.reference] if name}


@pytest.fixture(scope="module")
def grid() -> Grid:
    """Every method that a claim names, for users with and without flipped answers."""
    blocks = {name: block.model_dump() for name, block in synthetic.grid(seeds=SEEDS).config.grid.items()}
    methods, seeds = ["papa", "reward_model"], list(range(SEEDS))
    blocks["labels"] = {"task": "digits", "methods": methods[1:], "users": synthetic.USERS, "seeds": seeds}
    more = {}
    for task in {claim.task for claim in TESTED} - {"digits"}:
        named = sorted({name for claim in TESTED if claim.task == task for name in names(claim)})
        blocks[task] = {"task": task, "methods": named, "users": USERS_OF[task], "seeds": seeds}
        more |= {name: {"algorithm": ALGORITHMS.get(name, name.split("-")[0])} for name in named}
    blocks["flips"] = {"task": "digits", "methods": methods, "users": list(FLIPS), "seeds": seeds}
    return synthetic.grid(seeds=SEEDS, users=FLIPS, grid=blocks, methods=more | synthetic.METHODS)


@pytest.fixture(scope="module")
def table(grid: Grid) -> pd.DataFrame:
    return synthetic.long_table(synthetic.grid(seeds=SEEDS), rounds=4)


def verdicts(table: pd.DataFrame, grid: Grid) -> dict[str, Judged]:
    return {judged.claim.id: judged for judged in claims.judge(claims.load(), table, grid)}


def verdict(name: str, table: pd.DataFrame, grid: Grid) -> Judged:
    """The verdict on one claim of the ledger, alone."""
    return claims.judge([claim for claim in claims.load() if claim.id == name], table, grid)[0]


def one(table: pd.DataFrame, grid: Grid, **part: object) -> Judged:
    """The verdict on a ledger of one claim of one part."""
    claim = {"id": "x", "sentence": "", "source": "", "refuted_by": "", "flip": 0.2 * (part["compare"] == "flips")}
    return claims.judge([Claim.model_validate(claim | {"parts": [part]})], table, grid)[0]


# ---------------------------------------------------------------- every claim, both ways


def rows(method: str, users: list[str], metric: str, value: Callable[[int], float], curve: bool) -> list[dict]:
    """The values of a metric that rises over four rounds, or of the end alone; a little different for each seed."""
    found = []
    for user, seed in itertools.product(users, range(SEEDS)):
        axes = {"task": "digits", "method": method, "algorithm": "a", "user": user, "seed": seed, "unit": ""}
        for index in range(5) if curve else [4]:
            for stage in ["round", "final"] if index == 4 else ["round"]:
                at = {"round": index, "stage": stage, "metric": metric}
                found.append(axes | at | {"value": value(index) + 0.002 * seed})
    return found


def built(part: Part, effect: float, task: str) -> pd.DataFrame:
    """A long table in which a part has this effect and nothing else stands."""
    level, users, found = 0.5, USERS_OF[task], []
    for method in part.methods:
        if part.compare == "flips":
            for label, lost in ((method, effect), (str(part.reference), 0.0)):
                found += rows(label, users, part.metric, lambda _: level, False)
                noisy = [f"{user}-flip20" for user in users[:2]]
                found += rows(label, noisy, part.metric, lambda _, lost=lost: level + lost - 0.1, False)
            continue
        found += rows(method, users, part.metric, lambda _: level + effect if part.reference else effect, False)
        if part.minus:
            found += rows(method, users, part.minus, lambda _: 0.0, False)
        if part.compare == "matched":  # the reference ends higher, and passes the method's preference at round 2
            found += rows(method, users, "preference_gold", lambda _: 0.4, True)
            found += rows(str(part.reference), users, "preference_gold", lambda index: 0.2 * index, True)
            found += rows(str(part.reference), users, part.metric, lambda index: level + index - 2, True)
        elif part.reference:
            found += rows(part.reference, users, part.metric, lambda _: level, False)
    return pd.DataFrame(found).assign(task=task).drop_duplicates(["method", "user", "seed", "round", "stage", "metric"])


@pytest.mark.parametrize("claim", TESTED, ids=lambda claim: claim.id)
def test_every_claim_can_be_supported_and_refuted(claim: Claim, grid: Grid) -> None:
    """Each part by itself: an effect on the claimed side of the margin, and one on the other."""
    for part in claim.parts:
        bounds = [bound for bound in (part.at_least, part.at_most) if bound is not None]
        inside = bounds[0] + 0.03 if part.at_least is not None else bounds[0] - 0.03
        outside = [bound + side for bound, side in ((part.at_least, -0.2), (part.at_most, 0.2)) if bound is not None]
        alone = claim.model_copy(update={"parts": [part]})
        judged = claims.judge([alone], built(part, inside, claim.task), grid)[0]
        assert judged.verdict == "supported", (part, judged.reason, judged.findings)
        for effect in outside:
            assert claims.judge([alone], built(part, effect, claim.task), grid)[0].verdict == "refuted", part


@pytest.mark.parametrize("claim", TESTED, ids=lambda claim: claim.id)
def test_a_claim_whose_reference_did_not_run_is_not_run(claim: Claim, grid: Grid) -> None:
    """Nothing stands in for what a claim names, whatever else ran."""
    for part in claim.parts:
        whole = built(part, 0.03, claim.task)
        for named in [*part.methods, *([part.reference] if part.reference else [])]:
            others = whole[whole.method != named]
            stand_in = whole[whole.method == named].assign(method="best_of_4")
            alone = claim.model_copy(update={"parts": [part]})
            judged = claims.judge([alone], pd.concat([others, stand_in]), grid)[0]
            assert judged.verdict == "not run" and named in judged.reason


def test_what_else_ran_changes_neither_the_effect_nor_the_correction(table: pd.DataFrame, grid: Grid) -> None:
    named = set().union(*map(names, TESTED))
    all_of_it, only_named = verdicts(table, grid), verdicts(table[table.method.isin(named)], grid)
    assert len(set(table.method) - named) > 5
    for name, judged in all_of_it.items():
        assert only_named[name].findings == judged.findings
        assert only_named[name].p_holm == pytest.approx(judged.p_holm, nan_ok=True)


def test_a_claim_that_was_not_run_counts_in_the_correction(table: pd.DataFrame, grid: Grid) -> None:
    """Holm over an experiment: with its others not run, the smallest p is multiplied by the number of its claims."""
    needed = table[table.method.isin(["papa", "base"])]
    found = verdicts(needed, grid)
    tested = [judged for judged in found.values() if not math.isnan(judged.p)]
    best = min(tested, key=lambda judged: judged.p)
    family = sum(claim.experiment == best.claim.experiment for claim in claims.load())
    assert len(tested) < family and best.p_holm == pytest.approx(min(1, family * best.p))


# ---------------------------------------------------------------- the comparisons by hand


def test_at_equal_preference_by_hand(grid: Grid) -> None:
    """The reference passes 0.5 half-way between its second and third round, where its value is 0.7."""
    line = {"papa": ([0.1, 0.5], [1.0, 0.8]), "papa-no-qpde": ([0.1, 0.4, 0.6, 0.9], [1.0, 0.8, 0.6, 0.1])}
    found = []
    for method, values in line.items():
        for metric, curve in zip(("preference_gold", "served_vendi_ratio"), values, strict=True):
            for user, seed in itertools.product(synthetic.USERS[:2], range(5)):
                axes = {"task": "digits", "method": method, "algorithm": "a", "user": user, "seed": seed, "unit": ""}
                for index, value in enumerate(curve):
                    for stage in ["round", "final"] if index == len(curve) - 1 else ["round"]:
                        found.append(axes | {"round": index, "stage": stage, "metric": metric, "value": value})
    part = {"metric": "served_vendi_ratio", "compare": "matched", "at_least": 0.0}
    table = pd.DataFrame(found)
    judged = one(table, grid, **part, method="papa", reference="papa-no-qpde")
    assert judged.findings[0].estimate.mean == pytest.approx(0.8 - 0.7)
    turned = one(table, grid, **part, method="papa-no-qpde", reference="papa")
    assert turned.findings[0].estimate.mean == pytest.approx(0.7 - 0.8), "whichever ends higher is taken earlier"


def test_flips_by_hand(grid: Grid) -> None:
    """PAPA falls from 0.8 to 0.7, the reward model from 0.9 to 0.6: flips cost PAPA 0.2 less."""
    levels = {"papa": (0.8, 0.7), "reward_model": (0.9, 0.6)}
    users = synthetic.USERS[:2]
    found = []
    for method, (clean, noisy) in levels.items():
        found += rows(method, users, "preference_gold", lambda _, value=clean: value, False)
        found += rows(method, list(FLIPS), "preference_gold", lambda _, value=noisy: value, False)
    part = {"metric": "preference_gold", "compare": "flips", "method": "papa", "reference": "reward_model"}
    judged = one(pd.DataFrame(found), grid, **part, at_least=0)
    assert judged.findings[0].estimate.mean == pytest.approx(0.2) and judged.findings[0].users == users


def test_each_user_must_hold_where_a_part_says_so(table: pd.DataFrame, grid: Grid) -> None:
    low = table.assign(value=table.value.mask((table.metric == "served_vendi_ratio") & (table.user == "likes-3"), 0.1))
    part = {"metric": "served_vendi_ratio", "compare": "value", "method": "papa", "at_least": 0.5}
    assert one(low, grid, **part).verdict == "supported", "the mean of three users"
    each = one(low, grid, **part, users="each")
    assert each.verdict == "refuted" and len(each.findings) == 3 and each.deciding is not None
    assert "likes-3" in each.deciding.comparison and each.deciding.estimate.mean == pytest.approx(0.1)


def test_a_user_without_any_effect_does_not_drop_out_in_silence(table: pd.DataFrame, grid: Grid) -> None:
    gone = table[~((table.metric == "served_vendi_ratio") & (table.user == "likes-3") & (table.method == "papa"))]
    part = {"metric": "served_vendi_ratio", "compare": "value", "method": "papa", "at_least": 0.5}
    judged = one(gone, grid, **part)
    assert judged.verdict == "not run" and "likes-3" in judged.reason


def test_runs_that_diverge_through_flips_keep_their_claim_from_being_supported(grid: Grid) -> None:
    claim = next(claim for claim in TESTED if claim.flip)
    whole = built(claim.parts[0], 0.2, claim.task)
    bad = whole[whole.user.str.endswith("flip20") & (whole.method == "papa")].iloc[[0]]
    lost = pd.concat([whole, bad.assign(metric="diverged", value=1.0)])
    assert claims.judge([claim], whole, grid)[0].verdict == "supported"
    judged = claims.judge([claim], lost, grid)[0]
    assert judged.verdict == "undecided" and "diverged" in judged.reason


def test_a_lucky_round_is_no_crossing(grid: Grid) -> None:
    """The reference passes the preference once by luck, falls back, and passes it for good two rounds later."""
    found = rows("papa", synthetic.USERS[:2], "preference_gold", lambda _: 0.5, True)
    found += rows("papa", synthetic.USERS[:2], "served_vendi_ratio", lambda _: 0.8, True)
    lucky, value = [0.1, 0.52, 0.3, 0.45, 0.9], [1.0, 0.9, 0.8, 0.7, 0.5]
    found += rows("papa-no-qpde", synthetic.USERS[:2], "preference_gold", lambda index: lucky[index], True)
    found += rows("papa-no-qpde", synthetic.USERS[:2], "served_vendi_ratio", lambda index: value[index], True)
    part = {"metric": "served_vendi_ratio", "compare": "matched", "method": "papa", "reference": "papa-no-qpde"}
    effect = one(pd.DataFrame(found), grid, **part, at_least=0).findings[0].estimate.mean
    assert 0.8 - 0.7 < effect < 0.8 - 0.6, "between the last two rounds"


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
    persons = found["ppd-serves-unseen-persons"]
    assert persons.verdict == "not run" and persons.reason == "no study of personal models"
    assert found["flips-cost-papa-less"].verdict == "not run" and "papa" in found["flips-cost-papa-less"].reason
    without = verdict("flips-cost-papa-less", table, synthetic.grid(seeds=SEEDS))
    assert without.verdict == "not run" and "20%" in without.reason
    assert {judged.verdict for judged in verdicts(table.iloc[:0], grid).values()} == {"not run"}


def test_a_sentence_about_other_settings_was_not_run(table: pd.DataFrame, grid: Grid) -> None:
    assert verdict("fkc-reaches-papa", table, grid).verdict != "not run"
    methods = synthetic.METHODS | {"fkc": {"beta_max": 5}}
    other = verdict("fkc-reaches-papa", table, synthetic.grid(seeds=SEEDS, methods=methods))
    assert other.verdict == "not run"
    assert other.reason == "fkc has beta_max 5.0 here, and the claim is about 2"


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
    assert f"{judged.p:.3f}" in judged.reason and f"{judged.p_holm:.3f}" in judged.reason, "beside a clear interval"


def test_a_diverged_run_of_its_own_method_keeps_a_claim_from_being_supported(table: pd.DataFrame, grid: Grid) -> None:
    own = verdict("papa-beats-base", synthetic.diverge(table, "papa"), grid)
    assert own.verdict == "undecided" and "diverged" in own.reason
    part = {"metric": "preference_gold", "compare": "difference", "method": "papa", "reference": "base", "at_least": 0}
    assert one(synthetic.diverge(table, "base"), grid, **part).verdict == "supported", "a rival's failures do not count"


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
        {"metric": "m", "compare": "flips", "method": "papa", "at_least": 0},
        {"metric": "m", "compare": "value", "method": "papa", "at_leest": 0},
        {"metric": "m", "compare": "value", "method": "papa", "at_least": 0, "users": "worst"},
    ],
)
def test_a_part_that_decides_nothing_is_refused(part: dict) -> None:
    with pytest.raises(ValidationError):
        claims.Part.model_validate(part)
