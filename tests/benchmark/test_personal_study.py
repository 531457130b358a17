"""The study of personal models: win rates by hand, what it draws, what is stored, and the table made from it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support import tiny

from papa.benchmark.grid import Grid, load
from papa.benchmark.personal import PersonalStudy, pick_a_pic
from papa.benchmark.personal.population import OFFLINE
from papa.benchmark.personal.study import Study, win_rate
from papa.benchmark.runs import personal
from papa.benchmark.tasks.fruits import FruitsSettings
from papa.benchmark.tasks.fruits.task import Fruits
from papa.errors import RecordError, SettingsError
from papa.paper.claims import Claim, Part, judge
from papa.paper.figures import personal as figure
from papa.paper.figures import style
from papa.paper.long_table import gather
from papa.paper.tables import personal as table
from papa.rng import Stream

ASKED = PersonalStudy(
    task="fruits",
    unseen=4,
    seen=2,
    images=2,
    prompts=["a photo of an apple"],
    new_prompts=["a photo of a pear"],
    between=2,
    controls=["ppd"],
    recognized=17,
)


def test_win_rates_by_hand() -> None:
    assert win_rate(np.array([1.0, 2.0, 3.0, 0.0]), np.array([0.0, 2.0, 4.0, -1.0])) == pytest.approx(2.5 / 4)


@pytest.fixture(scope="module")
def study() -> Study:
    task = Fruits(FruitsSettings(steps=2))
    return Study(task, ASKED, task.known_images()[0][:128], Stream(0))


@pytest.fixture(scope="module")
def rows(study: Study) -> pd.DataFrame:
    return pd.DataFrame(study.run())


def test_every_part_has_its_persons(rows: pd.DataFrame) -> None:
    wins = rows[rows.won.notna()]
    count = wins[(wins.judge == "gold") & (wins.reference == "base")].groupby("part")["person"].nunique().to_dict()
    assert count == {"main": 6, "shots": 2, "words": 2, "prompts": 2, "aware": 2, "controls": 4}
    assert set(wins.judge) == {"gold", "held_out"} and set(wins.reference) == {"base", "dpo"}
    assert sorted(rows[rows.part == "shots"].shots.unique()) == [1, 2, 8, 16]
    assert rows[rows.part == "recognized"].groupby("model").size().to_dict() == {"ppd": 17}
    assert rows[rows.part == "between"].groupby(["person", "judge"]).size().tolist() == [5] * 4
    assert set(rows[rows.part == "prompts"].new_prompt) == {False, True}


def test_as_many_pictures_are_drawn_as_are_announced(rows: pd.DataFrame) -> None:
    told = rows[rows.won.notna() & ~((rows.part == "main") & (rows.model == "dpo"))]
    sets = len(told.groupby(["part", "model", "person", "prompt", "shots"])) + len(
        rows[(rows.part == "between") & (rows.judge == "gold")]
    )
    assert sets * ASKED.images == ASKED.pictures


def test_choices_are_a_persons_own_and_the_first_stay_the_first(study: Study) -> None:
    one, other = study.persons("unseen", 2)
    few, many = study.choices(one, 4), study.choices(one, 16)
    assert torch.equal(few.preferred, many.preferred[:4])
    assert not torch.equal(study.choices(other, 4).preferred, few.preferred)
    better = study.utility(one, "gold", study.seen(many.preferred)) > study.utility(
        one, "gold", study.seen(many.rejected)
    )
    assert better.mean() > 0.6


def test_caption_aware_choices_are_the_nearest(study: Study) -> None:
    ppd, person = study.task.personal("ppd"), study.persons("unseen", 1)[0]
    apple, banana = (study.aware(ppd, person, f"a photo of {what}") for what in ("an apple", "a banana"))
    assert not torch.equal(apple, banana)


def test_persons_are_mixed_with_those_of_other_tastes(study: Study) -> None:
    persons = study.persons("unseen", 4)
    pairs = study.opposites(persons)
    assert [first for first, _ in pairs] == persons[:2]
    utility = {person.number: person.utility(study._pool["gold"]) for person in persons}
    for first, second in pairs:
        alike = {n: np.corrcoef(utility[first.number], u)[0, 1] for n, u in utility.items()}
        assert alike[second.number] == min(alike.values()) and second != first


def test_pictures_are_kept_of_some_persons_and_of_nobody(study: Study, rows: pd.DataFrame) -> None:
    kept = figure.strips(rows)
    people = [person.number for person in study.persons("unseen", 4)]
    assert {person for person, _ in kept} == {*people, None}
    ppd, person = study.task.personal("ppd"), study.persons("unseen", 1)[0]
    images = study.task.model.pack(study.images(ppd, study.conditioning(ppd, person), study.generic))
    strip, said = kept[person.number, "ppd"]
    side = images.shape[-1]
    assert strip.shape == (side, 2 * side, 3)
    assert said == " or ".join(study.task.in_words(taste)[0] for taste in person.tastes)
    assert said.startswith("a photo of ") and said.endswith("background")
    assert np.array_equal(strip[:, side:], images[1].transpose(1, 2, 0))
    assert kept[person.number, "preferred"][0].shape == (side, 4 * side, 3)


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    config = tiny.config(tmp_path) | {"personal": ASKED.model_dump(mode="json")}
    return load(tiny.write(tmp_path, config))


def test_it_is_stored_with_its_key_and_read_again(grid: Grid, rows: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"is missing, damaged, or of other settings.*papa personal"):
        personal.read(grid)
    personal.write(grid, rows)
    assert len(personal.read(grid)) == len(rows) and personal.stands(grid)
    other = tiny.config(tmp_path) | {"personal": ASKED.model_dump(mode="json") | {"unseen": 5}}
    assert not personal.stands(load(tiny.write(tmp_path, other))), "other settings are another study"
    path = personal.path_of(grid)
    path.write_bytes(path.read_bytes()[:100])
    assert not personal.stands(grid)


def test_what_the_population_chose_is_a_dataset(grid: Grid, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    images = study.task.model.pack(study.pool[:16])
    monkeypatch.setattr(personal, "read_record", lambda *_: SimpleNamespace(arrays=lambda: {"images": images}))
    monkeypatch.setattr(personal, "SPLITS", {"seen": range(2)})
    rows = list(pick_a_pic.read([personal.write_pairs(grid, study.task)]))
    assert len(rows) == 2 * OFFLINE and {row.user for row in rows} == {"person-000", "person-001"}
    assert {row.first.tobytes() for row in rows} <= {image.transpose(1, 2, 0).tobytes() for image in images}


def test_a_task_without_adapters_is_refused(tmp_path: Path) -> None:
    config = tiny.config(tmp_path) | {"personal": {"task": "digits"}}
    with pytest.raises(SettingsError, match=r"personal.task: the model of digits has no personal adapters"):
        personal.path_of(load(tiny.write(tmp_path, config)))


def test_the_table_and_the_figure_show_it(grid: Grid, rows: pd.DataFrame) -> None:
    personal.write(grid, rows)
    made = table.make(pd.DataFrame(), grid)
    assert set(made.frame.part) >= {"main", "shots", "persons", "words", "prompts", "aware", "between"}
    by_hand = rows[(rows.part == "main") & (rows.model == "ppd") & (rows.split == "unseen")]
    by_hand = by_hand[(by_hand.judge == "gold") & (by_hand.reference == "base")]
    line = made.frame[(made.frame.part == "main") & (made.frame.model == "PPD") & (made.frame.persons == "unseen")]
    line = line[(line.judge == "gold") & (line.against == "base")]
    assert line["mean"].item() == pytest.approx(by_hand.won.mean()) and line["n"].item() == 4
    with style.paper():
        drawn = figure.draw(pd.DataFrame(), grid)
    assert len(drawn.axes) == 2 + 3 * 5


def claim(**part: Any) -> Claim:
    given: dict[str, Any] = {"metric": "won", "compare": "persons", "method": "ppd", **part}
    return Claim(id="x", sentence="x", source="x", refuted_by="x", parts=[Part.model_validate(given)])


def test_claims_about_persons(grid: Grid, rows: pd.DataFrame) -> None:
    rows = rows.copy()
    main = (rows.part == "main") & (rows.model == "ppd")
    rows.loc[main, "won"] = 0.9 + 0.01 * (rows.loc[main, "person"] % 3)
    personal.write(grid, rows)
    where = {"part": "main", "model": "ppd", "reference": "base", "judge": "gold"}
    judged = [
        claim(at_least=0.6, study=where),
        claim(at_most=0.6, study=where),
        claim(at_least=-0.05, study={**where, "split": "unseen"}, less={"reference": "dpo"}),
    ]
    found = judge(judged, gather([]), grid)
    assert [j.verdict for j in found[:2]] == ["supported", "refuted"]
    assert found[2].findings[0].estimate.mean == pytest.approx(0.0, abs=1e-9)
    assert found[0].findings[0].estimate.n == 6
