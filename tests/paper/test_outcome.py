"""The sentences of what came out follow from the numbers."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import synthetic

from papa.benchmark.grid import Grid
from papa.paper import outcome, select


@pytest.fixture(scope="module")
def grid() -> Grid:
    return synthetic.with_fruits()


@pytest.fixture(scope="module")
def table(grid: Grid) -> pd.DataFrame:
    return select.check(synthetic.long_table(grid, rounds=2))


def means(table: pd.DataFrame, task: str, users: list[str]) -> pd.Series:
    """Method -> final preference, by hand, of the methods that are compared."""
    rows = table[(table.metric == "preference_gold") & (table.stage == "final") & (table.task == task)]
    rows = rows[rows.user.isin(users) & rows.method.isin(synthetic.MAIN)]
    return rows.groupby("method").value.mean().drop("base").sort_values(ascending=False)


def claim(verdict: str, sentence: str = "It works.", reason: str = "because") -> dict[str, Any]:
    return {"verdict": verdict, "sentence": sentence, "reason": reason}


@pytest.mark.parametrize(("task", "users"), [("digits", synthetic.USERS), ("fruits", synthetic.FRUIT_USERS)])
def test_the_highest_method_of_a_task_is_named_with_its_value(
    table: pd.DataFrame, grid: Grid, task: str, users: list[str]
) -> None:
    said, by_hand = outcome.ranking(table, grid, task), means(table, task, users)
    first, second = by_hand.index[:2]
    assert said.startswith(f"On {task}, {first} had the highest preference of {len(by_hand)} compared methods: ")
    assert (
        f"a share of {by_hand[first]:.3f} ± " in said and f"Second came {second} with {by_hand[second]:.3f} ± " in said
    )
    assert f"(mean over {', '.join(users)})" in said
    for user in users:
        best = means(table, task, [user])
        assert re.search(rf"{best.index[0]} for [^;]*{user} \({best.iloc[0]:.3f} ± ", said), user


def test_other_numbers_give_other_sentences(table: pd.DataFrame, grid: Grid) -> None:
    raised = synthetic.shift(table, "epapa", "preference_gold", 0.6)
    said = outcome.ranking(raised, grid, "digits")
    assert "epapa had the highest preference" in said and "excludes zero" in said
    assert "epapa had the highest preference" not in outcome.ranking(table, grid, "digits")


def test_two_that_cannot_be_told_apart_are_an_open_order(table: pd.DataFrame, grid: Grid) -> None:
    first, second = means(table, "digits", synthetic.USERS).index[:2]
    hit = (table.metric == "preference_gold") & (table.stage == "final") & (table.task == "digits")
    rows = table[hit & (table.method == second)]
    near = rows.assign(method=first, value=rows.value + np.where(rows.seed == 0, 0.03, -0.01))
    said = outcome.ranking(pd.concat([table[~(hit & (table.method == first))], near]), grid, "digits")
    assert f"On digits, {first} had" in said and "contains zero, so the order of the two is open" in said


def test_the_price_of_a_served_image_is_said(table: pd.DataFrame, grid: Grid) -> None:
    """best of 16 draws 16 images for one; PAPA draws at the base's price."""
    raised = synthetic.shift(table[table.method != "fkc-tuned"], "best_of_16", "preference_gold", 0.3)
    said = outcome.ranking(raised, grid, "digits")
    assert "A served image of best_of_16 takes 400 evaluations of the denoiser, against 25 for one of the base" in said
    at_price = means(raised, "digits", synthetic.USERS).drop(
        ["best_of_4", "best_of_16", "reward_model", "accept"], errors="ignore"
    )
    assert f"at that price, {at_price.index[0]} is the highest with {at_price.iloc[0]:.3f}" in said
    raised = synthetic.shift(table, "papa", "preference_gold", 0.6)
    assert "of papa takes 25 evaluations of the denoiser, no more than one of the base." in outcome.ranking(
        raised, grid, "digits"
    )


def test_copies_within_a_request_are_said(table: pd.DataFrame, grid: Grid) -> None:
    raised = synthetic.shift(table, "papa", "preference_gold", 0.6)
    assert "are different" not in outcome.ranking(raised, grid, "digits")
    copied = synthetic.shift(raised, "papa", "served_unique", -4.5)
    assert "Of the 32 images of one request of papa, 27.5 are different on average." in outcome.ranking(
        copied, grid, "digits"
    )


def test_one_seed_is_no_order() -> None:
    grid = synthetic.grid(seeds=1)
    said = outcome.ranking(select.check(synthetic.long_table(grid, rounds=2)), grid, "digits")
    assert "one seed cannot say whether that is chance" in said and "±" not in said


def test_a_method_that_diverged_everywhere_is_not_ranked_but_named(table: pd.DataFrame, grid: Grid) -> None:
    lost = table
    for seed in (0, 1, 2):
        lost = synthetic.diverge(lost, means(table, "digits", synthetic.USERS).index[0], seed)
    lost = select.check(lost)
    first = means(table, "digits", synthetic.USERS).index[0]
    assert f"{first} had the highest" not in outcome.ranking(lost, grid, "digits")
    runs = sum(spec.method == first for spec in grid)
    assert outcome.extent(lost).endswith(f"Of these, {runs} diverged: {runs} of {first}.")
    assert outcome.extent(table).endswith("None of them diverged.")


def test_how_much_was_run_is_counted(table: pd.DataFrame, grid: Grid) -> None:
    methods = len({spec.method for spec in grid})
    assert outcome.extent(table).startswith(
        f"The experiment has {len(grid)} runs, of {methods} methods for 8 users on 2 tasks with 3 seeds."
    )


def test_where_nothing_ran_nothing_is_named(table: pd.DataFrame, grid: Grid) -> None:
    empty = table.iloc[:0]
    counted = "none is supported, none is refuted, none is undecided, 1 was not run and none is retired"
    assert outcome.paragraphs(empty, grid, [claim("not run")]) == [
        "Nothing ran.",
        f"Of the 1 claim in the ledger, {counted}.",
    ]
    alone = table[(table.method == "base") & (table.task == "digits")]
    assert "so none is named" in outcome.ranking(alone, grid, "digits")


def test_verdicts_are_counted_and_what_is_decided_is_told() -> None:
    claims = [
        claim("supported", "A beats B."),
        claim("refuted", "C beats D."),
        claim("refuted", "E is F."),
        *[claim("undecided", reason="3 seeds; a verdict needs 5")] * 2,
        claim("undecided", reason="near its margin"),
        claim("retired"),
    ]
    assert outcome.ledger(claims) == (
        "Of the 7 claims in the ledger, 1 is supported, 2 are refuted, 3 are undecided, none was not run and 1 is "
        "retired. Supported: A beats B. Refuted: C beats D. E is F. What leaves claims undecided: “3 seeds; a verdict "
        "needs 5” (2) and “near its margin” (1)."
    )
