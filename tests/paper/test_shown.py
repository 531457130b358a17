"""A table or figure is made from the runs that it shows, and is the same as if it had been given all of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from support import synthetic

from papa.benchmark import grid
from papa.benchmark.grid import Grid
from papa.paper import figures, tables
from papa.paper.claims import judge, load
from papa.paper.figures import FIGURES
from papa.paper.shown import CLAIMS, SHOWN, made_by_default, shown, together
from papa.paper.tables import TABLES

DEFAULT = grid.load(Path(__file__).parents[2] / "config.yaml")
ELSEWHERE = {"T6", "F8", "T5", "F6"}  # made from the study of personal models alone, or of config/feedback.yaml
NAMES = [name for name in (*TABLES, *FIGURES, CLAIMS) if name not in ELSEWHERE]


def axes(name: str) -> set[tuple[str, str, str]]:
    return {(spec.task, spec.method, spec.user) for spec in shown(name, DEFAULT)}


@pytest.mark.parametrize("name", NAMES)
def test_everything_of_the_default_experiment_shows_something_and_not_everything(name: str) -> None:
    assert 0 < len(shown(name, DEFAULT)) < len(DEFAULT)


def test_tables_and_figures_without_runs_are_not_made() -> None:
    tables_made, figures_made = made_by_default(DEFAULT)
    assert not {"T5"} & set(tables_made) and not {"F6"} & set(figures_made)
    assert {"T1", "T7"} <= set(tables_made) and {"F1", "F1-t2i", "F4", "F7"} <= set(figures_made)
    few = synthetic.grid(
        grid={"main": {"task": "digits", "methods": ["base", "papa"], "users": ["likes-3"], "seeds": [0]}}
    )
    assert made_by_default(few) == (["T1", "T3", "T7", "T8", "T9"], ["F1", "F2", "F3", "F9"])


def test_nothing_is_run_that_nothing_shows() -> None:
    assert set().union(*map(axes, NAMES)) == {(s.task, s.method, s.user) for s in DEFAULT}


def test_the_truncation_shows_its_sweep_and_the_base_of_one_user() -> None:
    assert axes("F4") == {("digits", method, "likes-1479") for method in ("base", "papa", "epapa", "epapa-k0.6")}


def test_text_to_image_has_figures_of_its_own() -> None:
    assert {task for task, *_ in axes("F1")} == {"digits"} and {task for task, *_ in axes("F1-t2i")} == {"fruits"}


def test_a_table_that_is_not_named_shows_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(SHOWN, "T3")
    assert shown("T3", DEFAULT) == list(DEFAULT)


@pytest.mark.slow
def test_users_who_share_a_process_are_shown_in_the_same_places() -> None:
    for (task, method), groups in together(DEFAULT).items():
        ran = {spec.user for spec in DEFAULT if (spec.task, spec.method) == (task, method)}
        assert sorted(user for group in groups for user in group) == sorted(ran)
        for group in groups:
            places = [frozenset(name for name in NAMES if (task, method, user) in axes(name)) for user in group]
            assert len(set(places)) == 1


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Grid, pd.DataFrame]:
    """A grid with both kinds of tasks, and its long table."""
    of = synthetic.with_fruits(tmp_path_factory.mktemp("shown"))
    synthetic.store_samples(of)
    return of, synthetic.long_table(of, rounds=4)


def only_shown(name: str, of: Grid, table: pd.DataFrame) -> pd.DataFrame:
    runs = pd.DataFrame(
        [(s.task, s.method, s.user, s.seed) for s in shown(name, of)], columns=["task", "method", "user", "seed"]
    )
    return table.merge(runs)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TABLES if name not in ELSEWHERE])
def test_a_table_of_what_it_shows_is_the_table_of_everything(name: str, both: tuple[Grid, pd.DataFrame]) -> None:
    of, table = both
    part = only_shown(name, of, table)
    assert len(part) < len(table)
    whole, alone = tables.make(name, table, of), tables.make(name, part, of)
    pd.testing.assert_frame_equal(whole.frame, alone.frame)
    assert (whole.markdown, whole.caption) == (alone.markdown, alone.caption)


def test_verdicts_are_those_of_everything(both: tuple[Grid, pd.DataFrame]) -> None:
    of, table = both
    assert judge(load(), table, of) == judge(load(), only_shown(CLAIMS, of, table), of)


@pytest.mark.parametrize("name", ["F1", "F4", "F5-t2i"])
def test_a_figure_of_what_it_shows_is_the_figure_of_everything(
    name: str, both: tuple[Grid, pd.DataFrame], tmp_path: Path
) -> None:
    of, table = both
    whole, alone = (
        figures.plot(name, rows, of, tmp_path / kind)
        for kind, rows in (("whole", table), ("alone", only_shown(name, of, table)))
    )
    for one, other in zip(whole, alone, strict=True):
        if one.suffix in {".png", ".rst"}:
            assert one.read_bytes() == other.read_bytes(), one.name
