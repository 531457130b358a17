"""The tables against numbers worked out by hand, and against everything that may be missing."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats
from support import synthetic

from papa.benchmark.grid import Grid, load
from papa.errors import RecordError, SettingsError
from papa.paper import report, select, stats, tables
from papa.paper.stats import Estimate


@pytest.fixture(scope="module")
def grid() -> Grid:
    return synthetic.grid()


@pytest.fixture(scope="module")
def table(grid: Grid) -> pd.DataFrame:
    return synthetic.long_table(grid, rounds=4)


@pytest.fixture(scope="module")
def alignment(table: pd.DataFrame, grid: Grid) -> tables.Made:
    return tables.make("T1", table, grid)


def raw(table: pd.DataFrame, method: str, metric: str) -> pd.DataFrame:
    """Final values by hand: index seed, one column per user."""
    rows = table[(table.method == method) & (table.metric == metric) & (table.stage == "final")]
    return rows.pivot(index="seed", columns="user", values="value")


def only(frame: pd.DataFrame, **axes: str) -> pd.Series:
    for axis, value in axes.items():
        frame = frame[frame[axis] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def by_hand(values: pd.Series) -> tuple[float, float]:
    return values.mean(), float(scipy_stats.t.ppf(0.975, len(values) - 1) * scipy_stats.sem(values))


# ---------------------------------------------------------------- which methods


def test_compared_methods_variants_and_controls_part_the_configuration(grid: Grid) -> None:
    assert select.main_methods(grid, "digits") == synthetic.MAIN
    assert select.variant_methods(grid, "digits") == synthetic.ABLATIONS


def test_users_in_all_ablations_do_not_make_them_compared_methods() -> None:
    blocks = synthetic.grid().config.grid
    full = {name: block.model_dump() | {"users": synthetic.USERS} for name, block in blocks.items()}
    assert select.main_methods(synthetic.grid(grid=full), "digits") == synthetic.MAIN


def test_changes_are_read_from_the_settings(grid: Grid) -> None:
    assert select.spelled(select.changes(grid, "papa-no-negatives", "papa")) == "negatives: bounded → none"
    assert select.spelled(select.changes(grid, "papa-no-accumulation", "papa")) == "accumulate: on → off"
    assert list(select.changes(grid, "papa-published", "papa")) == ["preset"], "a preset stands for what it brings"


def test_a_setting_beside_a_preset_is_named() -> None:
    methods = synthetic.METHODS | {"papa-x": {"algorithm": "papa", "preset": "published", "c_qpde": 0.5}}
    assert list(select.changes(synthetic.grid(methods=methods), "papa-x", "papa")) == ["preset", "c_qpde"]


def test_papa_is_the_first_point_of_the_truncation_sweep(grid: Grid) -> None:
    points = select.sweep(grid, "epapa", "frozen_below")
    assert points == {"papa": 0, "epapa-k0.2": 0.2, "epapa": 0.4, "epapa-k0.6": 0.6, "epapa-k0.8": 0.8}
    assert list(select.sweep(grid, "fkc", "beta_max")) == [
        "fkc-b0.5",
        "fkc-b1",
        "fkc",
        "fkc-b4",
        "fkc-b8",
        "fkc-tuned",
    ]
    assert select.sweep(grid, "no-such-method", "beta_max") == {}


def test_a_new_variant_and_a_new_method_appear_by_themselves() -> None:
    methods = synthetic.METHODS | {
        "papa-slow": {"algorithm": "papa", "lr": 1e-6},
        "best_of_9": {"algorithm": "best_of_n", "n": 9},
    }
    blocks = {name: block.model_dump() for name, block in synthetic.grid().config.grid.items()}
    blocks["main"]["methods"] = [*synthetic.MAIN, "best_of_9"]
    blocks["ablations"]["methods"] = [*synthetic.ABLATIONS, "papa-slow"]
    grid = synthetic.grid(methods=methods, grid=blocks)
    table = synthetic.long_table(grid, rounds=2)
    assert "best_of_9" in set(tables.make("T1", table, grid).frame.method)
    made = tables.make("T4", table, grid)
    assert "lr: 0.0005 → 1e-06" in made.markdown and "best_of_9" not in made.markdown


# ---------------------------------------------------------------- T1


def test_t1_holds_the_mean_and_t_interval_of_each_user(table: pd.DataFrame, alignment: tables.Made) -> None:
    row = only(alignment.frame, method="papa", user="likes-3", metric="preference_gold")
    mean, half = by_hand(raw(table, "papa", "preference_gold")["likes-3"])
    assert (row["mean"], row.lower, row.upper) == pytest.approx((mean, mean - half, mean + half))
    assert (row.n_seeds, row.diverged) == (3, 0)


def test_t1_pools_users_within_a_seed(table: pd.DataFrame, alignment: tables.Made) -> None:
    row = only(alignment.frame, method="papa", user="pooled", metric="preference_gold")
    mean, half = by_hand(raw(table, "papa", "preference_gold").mean(axis=1))
    assert (row["mean"], row.upper - row["mean"], row.n_seeds) == pytest.approx((mean, half, 3))


def test_t1_leaves_out_what_did_not_run_and_what_is_no_competitor(table: pd.DataFrame, grid: Grid) -> None:
    made = tables.make("T1", table[table.method != "epapa"], grid)
    assert set(made.frame.method) == set(synthetic.MAIN) - {"epapa"}
    assert "epapa" not in made.markdown and "(0.80)" in made.markdown


def test_a_diverged_run_is_counted_and_left_out(table: pd.DataFrame, grid: Grid) -> None:
    made = tables.make("T1", synthetic.diverge(table, "papa", seed=1), grid)
    row = only(made.frame, method="papa", user="likes-1479", metric="distance_ratio")
    kept = raw(table, "papa", "distance_ratio")["likes-1479"].drop(1)
    assert (row.n_seeds, row.diverged) == (2, 1) and row["mean"] == pytest.approx(kept.mean())
    assert "papa (1 diverged)" in made.markdown and "Diverged: papa (3 runs)." in made.caption


def test_seeds_stand_in_a_column_where_they_differ(table: pd.DataFrame, grid: Grid) -> None:
    fewer = tables.make("T1", table[(table.method != "papa") | (table.seed < 2)], grid).markdown
    line = next(line for line in fewer.splitlines() if line.startswith("| papa "))
    assert "seeds |" in fewer and line.endswith(" 2 |") and "### digits: likes-3\n" in fewer
    assert "### digits: likes-3, 3 seeds" in tables.make("T1", table, grid).markdown


def test_t1_says_mean_probability_of_a_graded_user() -> None:
    block = {"task": "digits", "methods": ["base", "papa"], "users": ["likes-3", synthetic.GRADED], "seeds": [0, 1]}
    grid = synthetic.grid(grid={"main": block})
    made = tables.make("T1", synthetic.long_table(grid, rounds=1), grid)
    shown = dict(part.split("\n\n", 1) for part in made.markdown.split("### ")[1:])
    assert "| mean preference (gold)" in shown["digits: likes-thick, 2 seeds"].replace("  ", "")
    assert "| preference (gold)" in shown["digits: likes-3, 2 seeds"].replace("  ", "")


def test_a_method_that_always_diverged_is_still_shown(table: pd.DataFrame, grid: Grid) -> None:
    for seed in range(3):
        table = synthetic.diverge(table, "papa", seed)
    row = only(tables.make("T1", table, grid).frame, method="papa", user="likes-3", metric="preference_gold")
    assert math.isnan(row["mean"]) and (row.n_seeds, row.diverged) == (0, 3)


def test_one_seed_gives_means_without_intervals() -> None:
    grid = synthetic.grid(seeds=1)
    made = tables.make("T1", synthetic.long_table(grid, rounds=2), grid)
    assert made.frame.lower.isna().all() and made.frame["mean"].notna().all()
    assert "±" not in made.markdown.replace("± 0.07", "") and "1 seed," in made.caption


# ---------------------------------------------------------------- T2


@pytest.fixture(scope="module")
def prompted() -> tuple[Grid, pd.DataFrame, tables.Made]:
    """Grid and long table of digits and fruits, and their T2."""
    grid = synthetic.with_fruits()
    table = synthetic.long_table(grid, rounds=2)
    return grid, table, tables.make("T2", table, grid)


@pytest.mark.slow
def test_each_task_stands_in_t1_or_in_t2(prompted: tuple[Grid, pd.DataFrame, tables.Made]) -> None:
    grid, table, made = prompted
    assert set(made.frame.task) == {"fruits"} and set(tables.make("T1", table, grid).frame.task) == {"digits"}
    assert set(tables.make("T3", table, grid).frame.task) == {"digits", "fruits"}
    assert select.is_prompted(grid, "fruits") and not select.is_prompted(grid, "digits")
    assert not select.is_prompted(synthetic.particle_grid("results"), "gmm2d")
    assert not select.is_prompted(grid, "no-such-task")


def test_t2_has_every_judge_retention_and_sample_size(prompted: tuple[Grid, pd.DataFrame, tables.Made]) -> None:
    _, table, made = prompted
    fruits = table[table.task == "fruits"]
    for metric in ("preference_attributes", "retention_held_out", "liked_distance_ratio", "fid_preferred"):
        row = only(made.frame, method="epapa", user="green", metric=metric)
        mean, half = by_hand(raw(fruits, "epapa", metric)["green"])
        assert (row["mean"], row.upper) == pytest.approx((mean, mean + half))
    for heading in (
        "preference (held-out)",
        "prompt retention",
        "NN distance within a batch (rel.)",
        "FID to preferred",
    ):
        assert heading in made.markdown
    header = next(line for line in made.markdown.splitlines() if line.startswith("| method"))
    assert header.count("|") - 1 == 8, "as many columns as a page has room for; the CSV has the others"
    ancestors = made.frame[made.frame.metric == "unique_ancestors"].set_index(["user", "method"])["mean"]
    assert ancestors["green", "fkc"] == 10 and ("green", "base") not in ancestors.index
    assert "(0.80)" in made.markdown
    assert "### fruits: pooled (apple, grape, banana, green, two), 3 seeds" in made.markdown
    assert "5 users" in made.caption and "512 samples per run" in made.caption


def test_a_sweep_takes_the_label_that_ran() -> None:
    """Two labels of one setting: on a task where the first did not run, the second stands for both."""
    methods = synthetic.METHODS | {"fkc-again": {"algorithm": "fkc", "beta_max": 8.0}}
    grid = synthetic.grid(methods=methods)
    assert "fkc-again" not in select.sweep(grid, "fkc", "beta_max")
    assert select.sweep(grid, "fkc", "beta_max", {"fkc", "fkc-again"}) == {"fkc": 2.0, "fkc-again": 8.0}


# ---------------------------------------------------------------- T3


def steps(grid: Grid, curves: dict[str, list[float]]) -> pd.DataFrame:
    """A long table of one user and seed: preference after each round, cost 100 evaluations a round."""
    rows = []
    for method, curve in curves.items():
        axes = {"task": "digits", "method": method, "algorithm": method, "user": "likes-3", "seed": 0}
        for index, value in enumerate(curve):
            for stage in ["round", "final"] if index == len(curve) - 1 else ["round"]:
                at = axes | {"round": index, "stage": stage, "unit": ""}
                rows += [at | {"metric": "preference_gold", "value": value}]
                rows += [at | {"metric": "train", "value": 100.0 * index}]
    return pd.DataFrame(rows)


def test_t3_counts_up_to_a_preference_of_0_8(grid: Grid) -> None:
    table = steps(grid, {"papa": [0.1, 0.5, 0.85, 0.9], "epapa": [0.1, 0.2, 0.55, 0.6], "base": [0.1] * 4})
    made = tables.make("T3", table, grid)
    spent = {(row.method, row.up_to): row["mean"] for _, row in made.frame[made.frame.metric == "train"].iterrows()}
    assert spent[("papa", "whole budget")] == spent[("epapa", "whole budget")] == 300
    assert spent[("papa", "preference 0.8")] == 200 and math.isnan(spent[("epapa", "preference 0.8")])
    labels = only(made.frame, method="papa", up_to="preference 0.8", metric="labels")
    assert (labels["mean"], labels.reached, labels.runs) == (16, 1, 1)
    assert only(made.frame, method="epapa", up_to="preference 0.8", metric="labels").reached == 0
    assert math.isnan(only(made.frame, method="papa", up_to="preference 0.8", metric="seconds")["mean"])
    assert "1 of 1" in made.markdown and "0 of 1" in made.markdown


def test_a_run_that_never_gets_there_is_censored_and_not_left_out(grid: Grid) -> None:
    """Two of three seeds get there, after 8 and 24 labels: the median is that of all three."""
    curves = ([0.1, 0.9, 0.9, 0.9], [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.9])
    table = pd.concat([steps(grid, {"papa": curve}).assign(seed=seed) for seed, curve in enumerate(curves)])
    row = only(tables.make("T3", table, grid).frame, method="papa", up_to="preference 0.8", metric="labels")
    assert (row["mean"], row.reached, row.runs) == (24, 2, 3)


def test_a_cost_known_at_some_rounds_only_is_not_averaged(grid: Grid) -> None:
    table = steps(grid, {"papa": [0.1, 0.5, 0.9, 0.9], "epapa": [0.1, 0.2, 0.55, 0.6]})
    final_only = table[(table.metric != "train") | (table.stage == "final")]
    frame = tables.make("T3", final_only, grid).frame
    assert math.isnan(only(frame, method="papa", up_to="preference 0.8", metric="train")["mean"])
    assert only(frame, method="papa", up_to="whole budget", metric="train")["mean"] == 300


def test_t3_says_from_how_many_images_on_learning_pays(table: pd.DataFrame, grid: Grid) -> None:
    """PAPA trains once and draws at the base's price; best of 16 pays sixteen times for each image."""
    frame = tables.make("T3", table, grid).frame
    row = only(frame[frame.user == "likes-3"], method="papa", up_to="pays off against", metric="best_of_16")
    spent = sum(raw(table, "papa", name)["likes-3"].mean() for name in ("forward", "backward", "frozen"))
    rival = sum(raw(table, "best_of_16", name)["likes-3"].mean() for name in ("forward", "backward", "frozen"))
    assert row["mean"] == pytest.approx((spent - rival) / (15 * 25))
    against = set(frame[(frame.method == "best_of_16") & (frame.up_to == "pays off against")].metric)
    assert not against, "what costs more for each image and learns no less never pays off"


def test_t3_has_best_of_n_whose_images_cost_n_times_as_much(table: pd.DataFrame, grid: Grid) -> None:
    made = tables.make("T3", table, grid)
    assert set(made.frame.method) == set(synthetic.MAIN) - {"base"}
    row = only(made.frame[made.frame.user == "likes-3"], method="best_of_16", up_to="whole budget", metric="sample")
    assert row["mean"] == 16 * 25 and "| best_of_16" in made.markdown


def test_t3_shows_a_method_that_diverged(grid: Grid) -> None:
    table = steps(grid, {"papa": [0.1, 0.9], "epapa": [0.1, 0.6]})
    bad = table.iloc[[0]].assign(metric="diverged", value=1.0, stage="final", round=1)
    frame = tables.make("T3", pd.concat([table, bad]), grid).frame
    row = only(frame, method="papa", up_to="preference 0.8", metric="train")
    assert (row.runs, row.reached, row.diverged) == (1, 0, 1) and math.isnan(row["mean"])


# ---------------------------------------------------------------- T4


def test_t4_pairs_each_variant_with_its_reference(table: pd.DataFrame, grid: Grid) -> None:
    frame = tables.make("T4", table, grid).frame
    assert set(frame.method) == set(synthetic.ABLATIONS) | {"papa", "epapa", "fkc"}
    row = only(frame, method="papa-lambda", metric="preference_gold")
    pairs = (raw(table, "papa-lambda", "preference_gold") - raw(table, "papa", "preference_gold"))["likes-1479"]
    mean, half = by_hand(pairs)
    assert (row.difference, row.difference_lower, row.difference_upper) == pytest.approx(
        (mean, mean - half, mean + half)
    )
    assert (row.change, row.users) == ("weights: uniform → lambda", "likes-1479")
    reference = only(frame, method="papa", metric="preference_gold")
    assert reference.change == "(reference)" and math.isnan(reference.difference)
    assert reference["mean"] == pytest.approx(raw(table, "papa", "preference_gold")["likes-1479"].mean())


def test_t4_counts_what_diverged(table: pd.DataFrame, grid: Grid) -> None:
    made = tables.make("T4", synthetic.diverge(table, "papa-no-qpde"), grid)
    row = only(made.frame, method="papa-no-qpde", metric="preference_gold")
    assert (row.diverged, row.runs, row.difference_seeds) == (1, 3, 2) and "1 of 3" in made.markdown


# ---------------------------------------------------------------- files and errors


@pytest.mark.parametrize("name", ["T1", "T3", "T4", "T8", "T9"])
def test_no_row_hides_that_it_had_other_labels(name: str) -> None:
    methods = synthetic.METHODS | {"papa-few": {"algorithm": "papa", "labels": 24}}
    block = {"task": "digits", "users": synthetic.USERS, "seeds": [0, 1]}
    blocks = {"main": block | {"methods": ["base", "papa", "fkc", *(["papa-few"] if name != "T4" else [])]}}
    blocks |= {"variant": block | {"methods": ["papa-few"], "users": synthetic.USERS[:1]}} if name == "T4" else {}
    few = synthetic.grid(methods=methods, grid=blocks)
    made = tables.make(name, synthetic.long_table(few, rounds=3), few).markdown
    rows = [line for line in made.splitlines() if line.startswith("| ") and "papa-few" in line.split("none")[0]]
    assert (rows or name == "T8") and all(re.search(r"\b24\b", row) for row in rows), made
    if name == "T8":  # a line of the map is of one budget, and says which
        assert {line.split("|")[3].strip() for line in made.splitlines() if "likes-" in line} == {"24", "80"}


def test_captions_name_methods_with_offline_pairs() -> None:
    grid = load(Path(__file__).parents[2] / "config" / "ppd.yaml")
    text = report.offline_sentence(grid, ["base", "papa-q0.5", "papa-ppd", "fkc-ppd"])
    assert "papa-ppd, fkc-ppd" in text and "28,800 pairs of 300" in text and "papa-q0.5" not in text


@pytest.mark.parametrize("name", [name for name in tables.TABLES if name not in ("T5", "T6")])  # not of these runs
def test_every_table_is_written_with_a_short_caption(
    name: str, prompted: tuple[Grid, pd.DataFrame, tables.Made], tmp_path: Path
) -> None:
    grid, table, _ = prompted
    table.attrs["about"] = "Runs of commit 0123456789+ on AMD EPYC 9B14."
    paths = tables.write(name, table, grid, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.csv", f"{name}.md", f"{name}.rst"]
    assert len(pd.read_csv(paths[0])) > 3
    caption = paths[2].read_text()
    assert paths[1].read_text().startswith(f"**{name}.** {caption}")
    assert len(caption.split()) <= 60 and "0123456789+" in caption
    if name != "T7":
        assert "80 labels, " in caption and "3 seeds" in caption


@pytest.mark.parametrize("name", tables.TABLES)
def test_every_table_copes_with_an_empty_long_table(name: str, table: pd.DataFrame, grid: Grid, tmp_path: Path) -> None:
    for path in tables.write(name, table.iloc[:0], grid, tmp_path):
        assert path.is_file()


def test_a_long_table_that_is_not_one_is_refused(table: pd.DataFrame, grid: Grid) -> None:
    with pytest.raises(RecordError, match="stage"):
        tables.make("T1", table.drop(columns="stage"), grid)
    with pytest.raises(RecordError, match="1 duplicate"):
        tables.make("T1", pd.concat([table, table.iloc[[7]]]), grid)
    with pytest.raises(SettingsError, match="'T1'"):
        tables.make("T11", table, grid)


def test_numbers_as_they_are_read() -> None:
    found = Estimate(0.8531, 0.8411, 0.8651, 5, "t")
    assert report.plus_minus(found) == "0.853 ± 0.012"
    assert report.signed(found) == "+0.853 [+0.841, +0.865]"
    assert report.plus_minus(Estimate(0.5, math.nan, math.nan, 1, "none")) == "0.500"
    assert report.number(12345.6) == "12,346" and report.number(np.nan) == "–"
    rows = report.markdown(["a", "b"], [["x|y", "1"]]).splitlines()
    assert rows[1].startswith("|:-") and rows[1].endswith("-:|") and rows[2].split() == ["|", "x\\|y", "|", "1", "|"]


# ---------------------------------------------------------------- T9


def test_t9_has_the_interquartile_mean_and_pairs_seeds_and_users(table: pd.DataFrame, grid: Grid) -> None:
    frame = tables.make("T9", table, grid).frame
    checked = select.check(table)
    own, other = (
        select.values(checked, "digits", name, "preference_gold", synthetic.USERS).unstack("user")
        for name in ("fkc-tuned", "papa")
    )
    found = {row.measure: row["mean"] for _, row in frame[frame.method == "fkc-tuned"].iterrows()}
    better = stats.probability_of_improvement(own.to_numpy(), other.to_numpy())
    assert found["iqm"] == pytest.approx(stats.interquartile_mean(own.to_numpy()))
    assert (found["better"], found["difference"]) == pytest.approx((better, (own - other).to_numpy().mean()))
    assert "better" not in set(frame[frame.method == "papa"].measure)
