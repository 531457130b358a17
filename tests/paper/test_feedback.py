"""T5 and F6: preference by the number of labels and by the noise of answers, against a table made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.text import Text
from support import synthetic

from papa.benchmark.grid import Grid, load
from papa.paper import feedback, figures, select, tables
from papa.paper.shown import shown

METHODS: dict[str, Any] = {
    "base": {},
    "papa": {},
    "papa-8": {"algorithm": "papa", "labels": 8},
    "papa-16": {"algorithm": "papa", "labels": 16},
    "papa-other": {"algorithm": "papa", "labels": 16, "c_qpde": 0.1},  # differs in more than its labels
    "fkc": {},
}
USERS = {
    "flip10": {"user": "likes-3", "flip": 0.1},
    "flip30": {"user": "likes-3", "flip": 0.3},
    "grades": {"user": "likes-3", "answers": "grades"},
    "pairs": {"user": "likes-3", "answers": "pairs"},
    "pairs-flip": {"user": "likes-3", "answers": "pairs", "flip": 0.1},  # differs in two things
}
WORTH = {"own": 0.0, "grades": 0.05, "pairs": -0.2}


@pytest.fixture
def grid() -> Grid:
    terms = {"task": "digits", "seeds": [0, 1, 2]}
    blocks = {
        "budgets": terms | {"methods": list(METHODS), "users": ["likes-3"]},
        "noise": terms | {"methods": ["papa", "fkc"], "users": ["likes-3", *USERS]},
        "apart": terms | {"methods": ["papa"], "users": ["likes-068"]},
    }
    return synthetic.grid(methods=METHODS, users=USERS, grid=blocks)


@pytest.fixture
def table(grid: Grid) -> pd.DataFrame:
    """Preference: labels / 100, less the share of flips, and what a form of answers is worth."""
    rows = []
    for spec in grid:
        axes = {"task": spec.task, "method": spec.method, "algorithm": spec.algorithm, "user": spec.user}
        model = spec.who.answer_model
        value = spec.settings.labels / 100 - model.flip + WORTH[model.answers] + 0.01 * spec.seed
        at = {"seed": spec.seed, "round": 10, "stage": "final", "metric": "preference_gold", "unit": "share"}
        rows.append(axes | at | {"value": value})
    return pd.DataFrame(rows)


def test_the_lines_are_of_methods_and_users_that_differ_in_one_thing(grid: Grid, table: pd.DataFrame) -> None:
    found = {(of.method, of.by): of for of in feedback.lines(select.check(table), grid)}
    assert set(found) == {("papa", "labels")} | {(of, by) for of in ("papa", "fkc") for by in ("flip", "answers")}
    budgets = {labels: (label, round(e.mean, 6)) for labels, (label, e) in found["papa", "labels"].points.items()}
    assert budgets == {8: ("papa-8", 0.09), 16: ("papa-16", 0.17), 80: ("papa", 0.81)}
    flips = {value: (label, round(e.mean, 6)) for value, (label, e) in found["papa", "flip"].points.items()}
    assert flips == {0: ("likes-3", 0.81), 0.1: ("flip10", 0.71), 0.3: ("flip30", 0.51)}
    forms = {value: (label, round(e.mean, 6)) for value, (label, e) in found["papa", "answers"].points.items()}
    assert forms == {0: ("likes-3", 0.81), 1: ("grades", 0.86), 2: ("pairs", 0.61)}


ONE = [user for user in USERS if user != "pairs-flip"]
"""Users who differ from likes-3 in one thing."""


def test_they_ask_for_the_runs_that_they_show_and_no_other(grid: Grid) -> None:
    asked = {(spec.method, spec.user) for spec in shown("T5", grid)}
    of_labels = {(method, user) for method in ("papa", "papa-8", "papa-16") for user in ("likes-3", "likes-068")}
    of_noise = {(method, user) for method in ("papa", "fkc") for user in ("likes-3", *ONE)}
    ran = {(spec.method, spec.user) for spec in grid}
    assert asked == of_noise | (of_labels & ran)


def test_the_table_and_the_figure_say_what_was_varied(grid: Grid, table: pd.DataFrame, tmp_path: Path) -> None:
    made = tables.make("T5", table, grid)
    assert "digits: likes-3, by labels" in made.markdown and "share of flipped answers" in made.markdown
    assert "0.810 ±" in made.markdown and len(made.frame) == 3 + 2 * (3 + 3)
    assert "| method | yes or no" in " ".join(made.markdown.split()) and "by form of the answers" in made.markdown
    drawn = figures.find("figure", figures.FIGURES, "F6")(select.check(table), grid)
    words = {text.get_text() for text in drawn.findobj(Text) if isinstance(text, Text)}
    assert {"labels", "share of flipped answers", "digits: likes-3"} <= words
    assert list(drawn.axes[0].get_xticks()) == [8, 16, 80]
    assert [path.suffix for path in figures.plot("F6", table, grid, tmp_path)] == [".png", ".pdf", ".rst"]


def test_the_shipped_configuration_varies_labels_from_8_to_160_and_flips_to_30_percent() -> None:
    of = load(Path(__file__).parents[2] / "config" / "feedback.yaml")
    budgets = feedback.budgets(of, "digits")
    assert set(budgets) == {"best_of_4", "papa", "fkc-tuned"}
    assert all(set(points) == {8, 16, 40, 80, 160} for points in budgets.values())
    assert set(feedback.answer_models(of, "digits")["likes-1479", "flip"]) == {0, 0.1, 0.2, 0.3}


def test_a_configuration_compares_the_forms_of_answers() -> None:
    of = load(Path(__file__).parents[2] / "config" / "feedback.yaml")
    forms = feedback.answer_models(of, "digits")["likes-1479", "answers"]
    assert forms == {0: "likes-1479", 1: "likes-1479-grades", 2: "likes-1479-pairs"}
