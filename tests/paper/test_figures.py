"""The figures: what they show, that they are the same twice, and that nothing missing breaks them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from support import synthetic

from papa.benchmark.grid import Grid
from papa.benchmark.runs.record import read_record
from papa.benchmark.users import user_of
from papa.errors import RecordError, SettingsError
from papa.paper import figures, report, select
from papa.paper.figures import judges, labels, pareto, particles, samples, style, temperature, truncation

ELSEWHERE = ("F6", "F7", "F8")
"""Figures of runs that these grids do not have: see test_feedback.py and test_personal_study.py."""
CAPTION_WORDS = 60


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


@pytest.fixture(scope="module")
def plotted(both: tuple[Grid, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Every figure of these runs. The user likes-3 has no held-out judge, and grape no features."""
    grid, table = both
    absent = table.metric.isin(["preference_held_out", "liked_distance_ratio"])
    lacking = table[~(absent & table.user.isin(["likes-3", "grape"]))]
    lacking.attrs["about"] = "Runs of commit 0123456789+ on AMD EPYC 9B14."
    folder = tmp_path_factory.mktemp("figures")
    return {n: figures.plot(n, lacking, grid, folder) for n in figures.FIGURES if n not in ELSEWHERE}


@pytest.mark.slow
def test_every_figure_is_written_with_a_short_caption(plotted: dict[str, list[Path]]) -> None:
    for name, paths in plotted.items():
        assert [path.name for path in paths] == [f"{name}.png", f"{name}.pdf", f"{name}.rst"]
        assert Image.open(paths[0]).size[0] >= 200 * style.COLUMN - 1
        caption = paths[2].read_text()
        assert len(caption.split()) <= CAPTION_WORDS and "80 labels, " in caption and "0123456789+" in caption
        if name.startswith("F1"):
            assert ("512 samples" in caption) == name.endswith("-t2i"), "each task has one figure of a pair"


def test_a_figure_without_runs_says_so(table: pd.DataFrame, grid: Grid, tmp_path: Path) -> None:
    for name, rows in (("F1-t2i", table), ("F6", table), ("F1", table.iloc[:0])):
        png, _, caption = figures.plot(name, rows, grid, tmp_path)
        assert Image.open(png).size[1] < 300 and report.EMPTY in caption.read_text()
    with pytest.raises(SettingsError, match="'F1'"):
        figures.plot("F11", table, grid, tmp_path)


def test_f2_has_the_three_sorts_of_diversity_of_every_user(both: tuple[Grid, pd.DataFrame]) -> None:
    grid, table = both
    drawn = pareto.draw(figures.part("F2-t2i", table, grid), grid)
    assert len(drawn.axes) == 3 * (len(synthetic.FRUIT_USERS) + 1)
    for ax, metric in zip(drawn.axes, report.DIVERSITY, strict=False):
        placed = [line.get_xdata()[0] for line in ax.get_lines()]
        rows = table[(table.method == "epapa") & (table.user == "apple") & (table.metric == metric)]
        assert any(x == pytest.approx(rows[rows.stage == "final"].value.mean()) for x in placed)


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
    shown = [panel for panel in judges.panels(table) if judges.differences(table, grid, *panel)]
    assert shown == [("digits", "held_out"), ("fruits", "held_out"), ("fruits", "attributes")]
    drawn = judges.draw(figures.part("F9-t2i", table, grid), grid)
    points = sum(len(np.asarray(dots.get_offsets())) for dots in drawn.axes[1].collections)
    measured = (table.metric == "preference_attributes") & (table.stage == "final")
    assert points == measured.sum() and "share liked: gold judge −\nclassifier of true attributes" in words(drawn)


def test_f5_of_prompted_tasks_has_their_sweep_sample_size_and_controls(both: tuple[Grid, pd.DataFrame]) -> None:
    grid, table = both
    drawn = temperature.draw(figures.part("F5-t2i", table, grid), grid)
    betas = np.array([0.5, 1, 2, 4, 12])
    assert lines(drawn, 0)["gold judge"][0] == pytest.approx(betas, rel=0.1)
    assert lines(drawn, 2)["apple"][1] == pytest.approx(0.02 * betas), "surrogate less truth"
    assert lines(drawn, 1)["effective sample size / N"][1] == pytest.approx((26 - 1.5 * betas) / 32)
    x, y = lines(drawn, 3)["predicted, apple"]
    tilt = 0.37 * 0.3 * np.exp(x)
    assert list(x) == [0.5, 1, 2, 4] and y == pytest.approx(tilt / (tilt + 1 - 0.37 * 0.3))
    assert "predicted, grape" in lines(drawn, 3)


@pytest.mark.parametrize("name", ["F1", "F3"])
def test_a_figure_has_the_same_bytes_twice(name: str, table: pd.DataFrame, grid: Grid, tmp_path: Path) -> None:
    first, again = (figures.plot(name, table, grid, tmp_path / part) for part in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


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


def test_f2_has_few_variants_in_one_row() -> None:
    few = [*synthetic.ABLATIONS[:2], next(name for name in synthetic.ABLATIONS if name.startswith("fkc"))]
    blocks = {
        "main": {"task": "digits", "methods": synthetic.MAIN, "users": synthetic.USERS, "seeds": [0, 1]},
        "few": {"task": "digits", "methods": few, "users": synthetic.USERS[:1], "seeds": [0, 1]},
    }
    grid = synthetic.grid(grid=blocks)
    drawn = pareto.draw(select.check(synthetic.long_table(grid, rounds=2)), grid)
    assert [len(ax.containers) for ax in drawn.axes[::3]][-1] == len(few) + 2
    assert f"ablations of fkc, papa ({synthetic.USERS[0]})" in words(drawn)


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


def test_f5_holds_the_measured_preference_against_the_predicted(table: pd.DataFrame, grid: Grid) -> None:
    drawn = temperature.draw(table, grid)
    x, y = lines(drawn, 3)["predicted, likes-1479"]
    tilt = 0.37 * np.exp(x)
    assert list(x) == [0.5, 1, 2, 4] and y == pytest.approx(tilt / (tilt + 0.63))
    betas = lines(drawn, 0)["gold judge"][0]
    assert betas == pytest.approx([0.5, 1, 2, 4, 8, 12], rel=0.1), "no control in the sweep"
    assert "4 of 4 within" in temperature.caption(table, grid)
    moved = synthetic.shift(table, "fkc-true-b4", "preference_measured", -0.2)
    assert "outside, likes-1479" in words(temperature.draw(moved, grid))
    assert "3 of 4 within" in temperature.caption(moved, grid)


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
    assert paths[2].read_text().startswith("Particles on")


def test_contours_enclose_the_shares_that_they_name() -> None:
    axis = np.linspace(-5, 5, 401)
    density = np.exp(-(axis[:, None] ** 2 + axis**2) / 2)
    for level, mass in zip(particles.level_sets(density), particles.MASS, strict=True):
        assert level == pytest.approx(1 - mass, abs=0.005)  # exp(-r²/2) of a Gaussian's disc of that mass


def test_f9_has_a_point_for_every_run(table: pd.DataFrame, grid: Grid) -> None:
    drawn = judges.draw(table, grid)
    points = sum(len(np.asarray(dots.get_offsets())) for dots in drawn.axes[0].collections)
    assert points == len(table[(table.metric == "preference_held_out") & (table.stage == "final")])


def test_a_figure_of_controls_alone_has_no_empty_panel(tmp_path: Path) -> None:
    """Where FKC's beta was not swept, F5 is its check with the true preference, as its caption says."""
    of = synthetic.grid(tmp_path)
    table = select.check(synthetic.long_table(of, rounds=4))
    controls = {method for _, _, method, _ in temperature.controls(table, of)}
    assert controls
    part = table[table.method.isin(controls)]
    [panel] = temperature.draw(part, of).axes
    assert panel.get_ylabel() == "mean preference" and panel.get_lines()
    assert "(a)" not in (text := temperature.caption(part, of)) and "True preference" in text
    assert len(temperature.draw(table, of).axes) == 4


# ---------------------------------------------------------------- looks


def test_each_compared_method_has_a_colour_and_a_marker_of_its_own(grid: Grid) -> None:
    looks = style.looks(grid)
    for kind in ("color", "marker"):
        assert len({looks[label][kind] for label in synthetic.MAIN if label != "base"}) == len(synthetic.MAIN) - 1
    assert looks["fkc"] != looks["fkc-tuned"], "two labels of one algorithm"
    assert looks["papa-no-qpde"] == looks["papa"], "an ablation looks like its reference"


def test_a_look_is_a_place_in_the_configuration_and_not_a_name() -> None:
    methods = {"base": {}, "zebra": {"algorithm": "papa"}, "ant": {"algorithm": "papa", "lr": 1e-4}, "fkc": {}}
    block = {"task": "digits", "methods": list(methods), "users": synthetic.USERS, "seeds": [0]}
    looks = style.looks(synthetic.grid(methods=methods, grid={"main": block}))
    assert [looks[name] for name in ("zebra", "ant", "fkc")] == [style.look(place) for place in range(3)]
    many = [style.look(place) for place in range(len(style.PALETTE) * len(style.MARKERS))]
    assert len({(look["color"], look["marker"]) for look in many}) == len(many)


def test_figures_have_the_methods_in_one_order(table: pd.DataFrame, grid: Grid) -> None:
    assert list(synthetic.METHODS).index("reward_model") < list(synthetic.METHODS).index("accept")
    assert samples.shown_methods(table, grid, "digits") == synthetic.MAIN
    ticks = [text.get_text() for text in judges.draw(table, grid).axes[0].get_yticklabels()]
    assert [label for label in ticks if label in synthetic.MAIN] == synthetic.MAIN
    keys = [text.get_text() for text in labels.draw(table, grid).legends[0].get_texts()]
    assert keys == [label for column in range(5) for label in synthetic.MAIN[column::5]], "read row by row"


def test_graded_users_have_a_mean_preference_and_no_difference_of_judges() -> None:
    block = {"task": "digits", "methods": ["base", "papa"], "users": ["likes-3", synthetic.GRADED], "seeds": [0, 1]}
    grid = synthetic.grid(grid={"main": block})
    whole = synthetic.long_table(grid, rounds=2)
    others = whole.metric.str.startswith("preference_") & (whole.metric != "preference_gold")
    table = select.check(whole[~(others & (whole.user == synthetic.GRADED))])
    assert "mean preference (gold judge)" in words(labels.draw(table, grid))
    text = words(pareto.draw(table, grid))
    assert {"mean preference\n(gold judge)", "share liked\n(held-out judge)"} <= text and "not measured" not in text
    assert judges.users(grid, "digits") == ["likes-3"]


# ---------------------------------------------------------------- stored samples


@pytest.mark.parametrize("file", ["samples.npz", "run.json"])
@pytest.mark.parametrize("method", ["papa", "base"])
def test_samples_of_other_settings_are_never_shown(method: str, file: str, grid: Grid) -> None:
    run = grid.specs["digits", method, "likes-1479", 0]
    folder = run.base.folder if method == "base" else run.folder
    kept = shutil.copytree(folder, folder.with_name(".kept"))
    try:
        shutil.copy(folder.with_name("seed1") / file, folder)
        with pytest.raises(RecordError):
            select.samples(grid, "digits", method, "likes-1479", 0)
    finally:
        shutil.rmtree(folder)
        kept.rename(folder)
