"""The figures: what they show, that they are the same twice, and that nothing missing breaks them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from PIL import Image
from support import synthetic
from support.tiny import assert_paragraph

from papa.benchmark.grid import Grid, load
from papa.benchmark.runs.record import read_record
from papa.benchmark.users import user_of
from papa.errors import RecordError, SettingsError
from papa.paper import figures, report, select
from papa.paper.figures import judges, labels, pareto, particles, samples, style, temperature, truncation
from papa.paper.stats import Estimate

ELSEWHERE = ("F6", "F7", "F8")
"""Figures of runs that these grids do not have; F6 is held to test_feedback.py, F8 to test_personal_study.py."""


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    blocks = {name: block.model_dump() for name, block in synthetic.grid().config.grid.items()}
    for block in blocks.values():
        block["users"] = block["users"][:2]
    grid = synthetic.grid(tmp_path_factory.mktemp("results"), grid=blocks)
    synthetic.store_samples(grid)
    return grid


@pytest.fixture(scope="module")
def table(grid: Grid) -> pd.DataFrame:
    return select.check(synthetic.long_table(grid, rounds=3))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Grid, pd.DataFrame]:
    """The grid and the long table of digits and fruits."""
    grid = synthetic.with_fruits(tmp_path_factory.mktemp("both"))
    synthetic.store_samples(grid)
    return grid, select.check(synthetic.long_table(grid, rounds=3))


def lines(drawn: Figure, axis: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = {str(line.get_label()): line for line in drawn.axes[axis].get_lines()}
    return {label: (np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for label, line in found.items()}


def words(drawn: Figure) -> set[str]:
    return {text.get_text() for text in drawn.findobj(Text) if isinstance(text, Text)}


@pytest.mark.parametrize("name", [name for name in figures.FIGURES if name not in ELSEWHERE])
def test_what_was_not_measured_for_a_user_leaves_a_gap(
    name: str, both: tuple[Grid, pd.DataFrame], tmp_path: Path
) -> None:
    """A graded user of digits has no held-out judge, a task may have no features."""
    grid, table = both
    absent = table.metric.isin(["preference_held_out", "liked_distance_ratio"])
    lacking = table[~(absent & table.user.isin(["likes-3", "grape"]))]
    figures.plot(name, lacking, grid, tmp_path)
    if name in ("F2", "F2-t2i"):
        assert "not measured" in words(pareto.draw(figures.part(name, lacking, grid), grid))


@pytest.mark.parametrize("name", [name for name in figures.FIGURES if name not in ELSEWHERE])
def test_every_figure_is_drawn(name: str, both: tuple[Grid, pd.DataFrame], tmp_path: Path) -> None:
    grid, table = both
    paths = figures.plot(name, table, grid, tmp_path)
    assert [path.name for path in paths] == [f"{name}.png", f"{name}.pdf", f"{name}.rst"]
    assert sorted(tmp_path.iterdir()) == sorted(paths), "no leftovers"
    assert Image.open(paths[0]).size[0] >= 200 * style.COLUMN - 1
    caption, shown = paths[2].read_text(), "fruits" if name.endswith("-t2i") else "digits"
    assert "80 labels in rounds of 8" in caption and f"denoising steps ({shown})" in caption
    assert ("(fruits)" in caption) == (shown == "fruits"), "each task stands in one figure of a pair"


def test_a_figure_of_a_pair_is_empty_where_its_tasks_did_not_run(
    table: pd.DataFrame, grid: Grid, both: tuple[Grid, pd.DataFrame], tmp_path: Path
) -> None:
    png, _, caption = figures.plot("F1-t2i", table, grid, tmp_path)
    assert Image.open(png).size[1] < 300 and "Nothing of this ran." in caption.read_text()
    fruits = both[1][both[1].task == "fruits"]
    _, _, caption = figures.plot("F9", fruits, both[0], tmp_path)
    assert "Nothing of this ran." in caption.read_text()


def test_f2_has_the_three_sorts_of_diversity_of_every_user(both: tuple[Grid, pd.DataFrame]) -> None:
    grid, table = both
    drawn = pareto.draw(figures.part("F2-t2i", table, grid), grid)
    assert len(drawn.axes) == 3 * (len(synthetic.FRUIT_USERS) + 1) and set(select.DIVERSITY.values()) <= words(drawn)
    for ax, metric in zip(drawn.axes, select.DIVERSITY, strict=False):
        placed = [line.get_xdata()[0] for line in ax.get_lines() if line.get_marker() == "D"]
        rows = table[(table.method == "epapa") & (table.user == "apple") & (table.metric == metric)]
        assert any(x == pytest.approx(rows[rows.stage == "final"].value.mean()) for x in placed)


def test_f2_draws_a_method_larger_that_pays_more_for_an_image(both: tuple[Grid, pd.DataFrame]) -> None:
    drawn = pareto.draw(figures.part("F2-t2i", both[1], both[0]), both[0])
    size = {line.get_label(): line.get_markersize() for line in drawn.axes[0].get_lines()}
    sizes = {c.get_label(): c.lines[0].get_markersize() for c in drawn.axes[0].containers if hasattr(c, "lines")}
    assert sizes["best_of_16"] > sizes["best_of_4"] > sizes["papa"] == sizes["base"], size


def test_f3_shows_prompted_samples_in_colour_and_before_the_alignment_the_same_for_all(
    both: tuple[Grid, pd.DataFrame],
) -> None:
    grid, table = both
    drawn = samples.draw(figures.part("F3-t2i", table, grid), grid)
    columns = len(samples.shown_methods(table, grid, "fruits"))
    shown = [np.asarray(ax.get_images()[0].get_array()) for ax in drawn.axes]
    assert len(shown) == columns * len(synthetic.FRUIT_USERS)
    assert all(np.ptp(image.astype(int), axis=2).max() > 50 for image in shown)
    first = [image for index, image in enumerate(shown) if index % columns == 0]
    assert all(np.array_equal(first[0], image) for image in first[1:])
    assert set(synthetic.FRUIT_USERS) <= words(drawn)


def test_f9_has_a_panel_for_every_judge_that_was_never_queried(both: tuple[Grid, pd.DataFrame]) -> None:
    grid, table = both
    assert judges.panels(table) == [("digits", "held_out"), ("fruits", "held_out"), ("fruits", "attributes")]
    drawn = judges.draw(figures.part("F9-t2i", table, grid), grid)
    points = sum(len(np.asarray(dots.get_offsets())) for dots in drawn.axes[1].collections)
    measured = (table.metric == "preference_attributes") & (table.stage == "final")
    assert points == measured.sum() and "share liked: gold judge −\nclassifier of true attributes" in words(drawn)


def test_f5_of_prompted_tasks_has_their_sweep_sample_size_and_controls(both: tuple[Grid, pd.DataFrame]) -> None:
    grid, table = both
    drawn = temperature.draw(figures.part("F5-t2i", table, grid), grid)
    betas = np.array([0.5, 1, 2, 4, 12])
    assert lines(drawn, 0)["gold judge"][0] == pytest.approx(betas, rel=0.1), "what did not run on the task is no point"
    assert lines(drawn, 2)["apple"][1] == pytest.approx(0.02 * betas), "surrogate less truth"
    assert lines(drawn, 1)["effective sample size / N"][1] == pytest.approx((26 - 1.5 * betas) / 32)
    x, y = lines(drawn, 3)["predicted, apple"]
    tilt = 0.37 * 0.3 * np.exp(x)
    assert list(x) == [0.5, 1, 2, 4] and y == pytest.approx(tilt / (tilt + 1 - 0.37 * 0.3))
    assert "predicted, grape" in lines(drawn, 3)


def test_a_caption_names_the_samples_of_each_task(both: tuple[Grid, pd.DataFrame], tmp_path: Path) -> None:
    grid, table = both
    assert "512 final samples" in figures.plot("F1-t2i", table, grid, tmp_path)[2].read_text()
    assert "1024 (digits) or 512 (fruits) final samples" in report.quote(table, grid, ["digits", "fruits"], [], [])


@pytest.mark.parametrize("name", ["F1", "F3"])
def test_a_figure_has_the_same_bytes_twice(name: str, table: pd.DataFrame, grid: Grid, tmp_path: Path) -> None:
    first, again = (figures.plot(name, table, grid, tmp_path / part) for part in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


@pytest.mark.parametrize("name", figures.FIGURES)
def test_a_figure_without_runs_says_so(name: str, table: pd.DataFrame, grid: Grid, tmp_path: Path) -> None:
    png, _, caption = figures.plot(name, table.iloc[:0], grid, tmp_path)
    assert Image.open(png).size[1] < 300 and "Nothing of this ran." in caption.read_text()


def test_an_unknown_figure_names_the_nearest(table: pd.DataFrame, grid: Grid, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="unknown figure 'F11'; did you mean 'F1'"):
        figures.plot("F11", table, grid, tmp_path)


def test_f1_shows_the_mean_over_seeds_at_the_labels_that_it_took(table: pd.DataFrame, grid: Grid) -> None:
    drawn = labels.draw(table, grid)
    rows = table[(table.method == "papa") & (table.user == "likes-1479") & (table.metric == "preference_gold")]
    x, y = lines(drawn, 0)["papa"]
    assert list(x) == [0, 8, 16, 24]
    assert y[1] == pytest.approx(rows[rows["round"] == 1].value.mean())
    last = rows[(rows.stage == "round") & (rows["round"] == 3)].value.mean()
    assert y[-1] == pytest.approx(last), "a line has points of equally many samples"
    final = rows[rows.stage == "final"].value.mean()
    beside = [bars.lines[0].get_xydata()[0] for bars in drawn.axes[0].containers if isinstance(bars, ErrorbarContainer)]
    assert any(at > 80 and value == pytest.approx(final) for at, value in beside), "the final ones stand beside it"
    assert set(synthetic.MAIN) <= words(drawn) and len(drawn.axes) == 2


def test_f1_leaves_out_a_diverged_run(table: pd.DataFrame, grid: Grid) -> None:
    without = labels.draw(select.check(synthetic.diverge(table, "papa", 0)), grid)
    rows = table[(table.method == "papa") & (table.user == "likes-1479") & (table.metric == "preference_gold")]
    kept = rows[(rows["round"] == 1) & (rows.seed != 0)].value.mean()
    assert lines(without, 0)["papa"][1][1] == pytest.approx(kept)


def test_f2_shows_every_method_and_variant(table: pd.DataFrame, grid: Grid) -> None:
    drawn = pareto.draw(table, grid)
    assert set(synthetic.MAIN) <= words(drawn)
    shown = [len(ax.containers) for ax in drawn.axes[::3]]
    assert shown[:2] == [len(synthetic.MAIN)] * 2
    assert len(shown) == 5 and sum(shown[2:]) == len(synthetic.ABLATIONS) + 3, "a row for each family"
    assert {f"variants of {name} (likes-1479)" for name in ("papa", "epapa", "fkc")} <= words(drawn)
    numbered = {f"{place} {method}" for place, method in enumerate(synthetic.ABLATIONS, 1)}
    assert numbered <= words(drawn), "variants stand in a row of their own, with their references"
    assert {str(place) for place in range(1, len(numbered) + 1)} <= words(drawn)


def test_f2_has_few_variants_in_one_row() -> None:
    few = [*synthetic.ABLATIONS[:2], next(name for name in synthetic.ABLATIONS if name.startswith("fkc"))]
    blocks = {
        "main": {"task": "digits", "methods": synthetic.MAIN, "users": synthetic.USERS, "seeds": [0, 1]},
        "few": {"task": "digits", "methods": few, "users": synthetic.USERS[:1], "seeds": [0, 1]},
    }
    grid = synthetic.grid(grid=blocks)
    drawn = pareto.draw(select.check(synthetic.long_table(grid, rounds=2)), grid)
    assert [len(ax.containers) for ax in drawn.axes[::3]][-1] == len(few) + 2
    assert f"variants ({synthetic.USERS[0]})" in words(drawn)


def test_f2_has_one_range_for_all_users_and_keeps_intervals_within_it(table: pd.DataFrame, grid: Grid) -> None:
    wide = synthetic.shift(table, "papa", "preference_held_out", 0.0)
    papa = (wide.method == "papa") & (wide.stage == "final")
    spread = {"distance_ratio": 0.4, "preference_held_out": 0.1}
    for metric, by in spread.items():
        hit = papa & (wide.metric == metric)
        wide = wide.assign(value=wide.value + by * (wide.seed - 1) * hit)
    drawn = pareto.draw(wide, grid)
    first, second = drawn.axes[0], drawn.axes[3]
    assert first.get_xlim() == second.get_xlim()
    marks = [line for line in first.get_lines() if line.get_marker() in "<>" and line.get_markersize() == 3]
    assert {line.get_xdata()[0] for line in marks} <= set(first.get_xlim()) and marks, "what goes on behind is marked"
    whiskers = np.concatenate([path.vertices for bars in first.collections for path in bars.get_paths()])
    assert whiskers[:, 1].min() >= 0 and whiskers[:, 1].max() <= 1, "no share lies outside of 0 and 1"


def test_a_graded_user_has_mean_probability_and_no_difference_of_judges() -> None:
    block = {"task": "digits", "methods": synthetic.MAIN, "users": ["likes-3", synthetic.GRADED], "seeds": [0, 1]}
    grid = synthetic.grid(grid={"main": block})
    whole = synthetic.long_table(grid, rounds=2)
    others = whole.metric.str.startswith("preference_") & (whole.metric != "preference_gold")
    table = select.check(whole[~(others & (whole.user == synthetic.GRADED))])
    assert "mean preference (gold judge)" in words(labels.draw(table, grid))
    said = words(pareto.draw(table, grid))
    assert {"mean preference\n(gold judge)", "share liked\n(held-out judge)"} <= said and "not measured" not in said
    assert judges.users(grid, "digits") == ["likes-3"]
    for module in (labels, pareto, samples):
        assert f"grades ({synthetic.GRADED}) is their mean" in module.caption(table, grid)
    for method in ("base", "papa"):
        assert (judges.differences(table, grid, "digits", "held_out")[method].index.unique("user") == ["likes-3"]).all()


def test_every_figure_has_the_methods_in_one_order(table: pd.DataFrame, grid: Grid) -> None:
    """Whatever the configuration's order: the configuration has the reward model before `accept`."""
    assert list(synthetic.METHODS).index("reward_model") < list(synthetic.METHODS).index("accept")
    assert [label for label in select.ordered(grid) if label in synthetic.MAIN] == synthetic.MAIN
    assert samples.shown_methods(table, grid, "digits") == synthetic.MAIN
    ticks = [text.get_text() for text in judges.draw(table, grid).axes[0].get_yticklabels()]
    assert [label for label in ticks if label in synthetic.MAIN] == synthetic.MAIN
    legend = labels.draw(table, grid).legends[0]
    keys, columns = [text.get_text() for text in legend.get_texts()], legend._ncols
    by_column = [label for column in range(columns) for label in synthetic.MAIN[column::columns]]
    assert 3 <= columns <= 5
    assert keys == by_column, "a legend is filled column by column, so that it is read line by line"


def test_labels_cover_neither_points_nor_each_other() -> None:
    drawn = style.figure(3, 3)
    ax = drawn.subplots()
    near = [Estimate(value, value - 0.02, value + 0.02, 3, "t") for value in (0.5, 0.505, 0.51)]
    ax.set(xlim=(0, 1), ylim=(0, 1))
    style.direct_labels(ax, [style.Label(found, found, f"method {i}", "black") for i, found in enumerate(near)])
    notes = [child for child in ax.get_children() if isinstance(child, Annotation)]
    drawn.draw_without_rendering()
    renderer = drawn.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [super(Annotation, note).get_window_extent(renderer) for note in notes]
    assert len(boxes) == 3
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    centres = ax.transData.transform([(found.mean, found.mean) for found in near])
    assert not any(box.contains(*centre) for box in boxes for centre in centres)


def test_f3_frames_what_the_user_likes(table: pd.DataFrame, grid: Grid) -> None:
    drawn = samples.draw(table, grid)
    columns = len(samples.shown_methods(table, grid, "digits"))
    assert columns == len(synthetic.MAIN), "best of n too"
    [spec] = grid.select(method="papa", user="likes-068", seeds=[0])
    user = user_of(spec.who)
    user.calibrate(spec.of.declaration.load()(spec.of.settings))
    stored = read_record(spec.folder, spec.key).arrays()["final"][: samples.SIDE**2]
    answers = user.verdict(torch.from_numpy(stored).float() / 127.5 - 1)
    ax = drawn.axes[columns + synthetic.MAIN.index("papa")]
    assert len(ax.patches) == (answers > 0.5).sum()


@pytest.mark.parametrize(("count", "rows"), [(1, [1]), (10, [10]), (11, [6, 5]), (21, [7, 7, 7])])
def test_f3_puts_many_methods_into_rows(count: int, rows: list[int]) -> None:
    names = [f"m{index}" for index in range(count)]
    found = samples.parts(names)
    assert [len(row) for row in found] == rows and [name for row in found for name in row] == names


def test_f3_names_every_method_where_they_stand_in_rows(
    table: pd.DataFrame, grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = [ax for ax in samples.draw(table, grid).axes if ax.get_title()]
    monkeypatch.setattr(samples, "MOST", 1)
    drawn = samples.draw(table, grid)
    methods = samples.shown_methods(table, grid, select.preference_tasks(table)[0])
    assert len(usual) == len(methods)
    users = len(drawn.axes) // len(methods)
    assert [ax.get_title() for ax in drawn.axes] == methods * users


def test_f3_says_where_a_run_diverged(table: pd.DataFrame, grid: Grid) -> None:
    assert "not run" not in words(samples.draw(table, grid))
    [spec] = grid.select(method="fkc", user="likes-1479", seeds=[0])
    kept = shutil.copytree(spec.folder, spec.folder.with_name("kept"))
    try:
        synthetic.store(spec, None)
        assert "not run" in words(samples.draw(table, grid))
    finally:
        shutil.rmtree(spec.folder)
        kept.rename(spec.folder)


def _without_samples(folder: Path) -> None:
    (folder / "samples.npz").unlink()


def _half_of_the_samples(folder: Path) -> None:
    os.truncate(folder / "samples.npz", (folder / "samples.npz").stat().st_size // 2)


def _samples_of_another_run(folder: Path) -> None:
    shutil.copy(folder.with_name("seed1") / "samples.npz", folder)


def _record_of_another_run(folder: Path) -> None:
    shutil.copy(folder.with_name("seed1") / "run.json", folder)


def _no_record(folder: Path) -> None:
    (folder / "run.json").unlink()


def _a_record_that_is_a_list(folder: Path) -> None:
    (folder / "run.json").write_text("[]")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_without_samples, r"samples\.npz is missing; delete the folder"),
        (_half_of_the_samples, r"samples\.npz is truncated or damaged; delete the folder"),
        (_samples_of_another_run, r"samples\.npz is truncated or damaged; delete the folder"),
        (_record_of_another_run, r"made with other settings"),
        (_no_record, r"there is no record in"),
        (_a_record_that_is_a_list, r"run\.json cannot be read"),
    ],
)
@pytest.mark.parametrize("method", ["papa", "base"])
def test_pictures_of_other_settings_are_never_drawn(
    method: str, spoil: Callable[[Path], None], said: str, table: pd.DataFrame, grid: Grid
) -> None:
    """Of a run and of the base samples alike."""
    run = grid.specs["digits", method, "likes-1479", 0]
    folder = run.base.folder if method == "base" else run.folder
    kept = shutil.copytree(folder, folder.with_name(".kept"))
    try:
        spoil(folder)
        with pytest.raises(RecordError, match=said) as caught:
            samples.draw(table, grid)
        assert_paragraph(str(caught.value))
    finally:
        shutil.rmtree(folder)
        kept.rename(folder)


def test_a_montage_keeps_order_and_inverts_grey() -> None:
    images = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    found = samples.montage(images, side=2, gap=1)
    assert found.shape == (5, 5, 3)
    assert found[1::2, 1::2, 0].ravel().tolist() == [255, 254, 253, 252] and found[0, 0, 0] == samples.GREY
    colour = np.array([10, 20, 30], np.uint8).reshape(1, 3, 1, 1)
    assert samples.montage(colour, side=1)[1, 1].tolist() == [10, 20, 30]


def test_f4_has_papa_at_zero_and_the_share_of_evaluations(table: pd.DataFrame, grid: Grid) -> None:
    drawn = truncation.draw(table, grid)
    x, y = lines(drawn, 2)["training"]
    assert list(x) == [0, 0.2, 0.4, 0.6, 0.8] and y == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])
    assert "seconds" not in " ".join(words(drawn)), "they would tell what else ran"


def test_f4_says_which_k_cost_the_same(grid: Grid) -> None:
    said = truncation.strata_sentence(grid, {"papa": 0, "epapa": 0.4, "epapa-k0.6": 0.48})
    assert "5 at k = 0, 3 at k = 0.4, 3 at k = 0.48" in said and "cost the same" in said
    exact = synthetic.grid(methods=synthetic.METHODS | {"papa": {"timesteps": "exact"}})
    assert truncation.strata_sentence(exact, {"papa": 0}) == "", "without strata there is nothing to round"


def test_f5_holds_the_measured_preference_against_the_predicted(table: pd.DataFrame, grid: Grid) -> None:
    drawn = temperature.draw(table, grid)
    x, y = lines(drawn, 3)["predicted, likes-1479"]
    tilt = 0.37 * np.exp(x)
    assert list(x) == [0.5, 1, 2, 4] and y == pytest.approx(tilt / (tilt + 0.63))
    betas = lines(drawn, 0)["gold judge"][0]
    assert betas == pytest.approx([0.5, 1, 2, 4, 8, 12], rel=0.1), "no control in the sweep"
    assert "4 of 4 measured points lie within" in temperature.caption(table, grid)


def test_f5_names_what_lies_outside_of_the_tolerance(table: pd.DataFrame, grid: Grid) -> None:
    moved = synthetic.shift(table, "fkc-true-b4", "preference_measured", -0.2)
    assert "outside, likes-1479" in words(temperature.draw(moved, grid))
    assert "3 of 4 measured points" in temperature.caption(moved, grid)
    assert "for likes-1479 at β = 4" in temperature.caption(moved, grid)


def test_f5_joins_no_two_points(table: pd.DataFrame, grid: Grid) -> None:
    kept = table[(table.algorithm != "fkc") | table.method.isin(["fkc", "fkc-b8"])]
    for rows, style_of_line in ((table, "-"), (kept, "None")):
        drawn = temperature.draw(rows, grid)
        [line] = [line for line in drawn.axes[0].get_lines() if line.get_label() == "gold judge"]
        assert line.get_linestyle() == style_of_line


def test_f7_puts_particles_on_the_density_of_their_beta(tmp_path: Path) -> None:
    grid = synthetic.particle_grid(tmp_path)
    table = select.check(synthetic.store_particles(grid))
    drawn = particles.draw(table, grid)
    assert {"base", "fkc-b1\nβ = 1", "fkc-b3\nβ = 3", "linear\nx₂", "quadratic\nx₂"} <= words(drawn)
    assert len(drawn.axes) == 6 and all(len(ax.collections) == 3 for ax in drawn.axes)
    assert "error of\nshares 0.010" in words(drawn) and {"particle", "80%", "x₁"} <= words(drawn)
    paths = figures.plot("F7", table, grid, tmp_path / "figures")
    assert "100 denoising steps (gmm2d)" in paths[2].read_text()


def test_contours_enclose_the_shares_that_they_name() -> None:
    axis = np.linspace(-5, 5, 401)
    density = np.exp(-(axis[:, None] ** 2 + axis**2) / 2)
    for level, mass in zip(particles.level_sets(density), particles.MASS, strict=True):
        assert level == pytest.approx(1 - mass, abs=0.005)  # exp(-r²/2) of a Gaussian's disc of that mass


def test_f9_has_a_point_for_every_run(table: pd.DataFrame, grid: Grid) -> None:
    drawn = judges.draw(table, grid)
    points = sum(len(np.asarray(dots.get_offsets())) for dots in drawn.axes[0].collections)
    assert points == len(table[(table.metric == "preference_held_out") & (table.stage == "final")])


@pytest.mark.parametrize("name", ["arena", "arena-likes-3", "arena-fruits", "distill"])
def test_each_method_of_an_arena_has_a_look_of_its_own(name: str) -> None:
    arena = load(Path(__file__).parents[2] / "config" / f"{name}.yaml")
    methods = {spec.method for spec in arena}
    assert len({(style.colour(arena, method), style.marker(arena, method)) for method in methods}) == len(methods)


def test_each_compared_method_has_a_colour_of_its_own(grid: Grid) -> None:
    inks = {style.colour(grid, method) for method in synthetic.MAIN}
    assert len(inks) == len(synthetic.MAIN)
    marks = {style.marker(grid, method) for method in synthetic.MAIN}
    assert len(marks) == len(synthetic.MAIN), "and a marker, for a print in grey"
    assert style.colour(grid, "papa-no-qpde") == style.colour(grid, "papa")


def test_a_figure_of_controls_alone_has_no_empty_panel(tmp_path: Path) -> None:
    """Where FKC's beta was not swept, F5 is its check with the true preference, as its caption says."""
    of = synthetic.grid(tmp_path)
    table = select.check(synthetic.long_table(of, rounds=4))
    controls = {method for _, _, method, _ in temperature.controls(table, of)}
    assert controls
    part = table[table.method.isin(controls)]
    [panel] = temperature.draw(part, of).axes
    assert panel.get_ylabel() == "mean preference" and panel.get_lines()
    said = temperature.caption(part, of)
    assert "(a)" not in said and "Nothing of this ran" not in said and "true preference" in said
    assert len(temperature.draw(table, of).axes) == 4
