"""The long table belongs to the runs of one grid, says what it was made from, and is refused for any other."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from support import tiny
from support.command_line import Papa, state_of
from support.tiny import assert_paragraph

from papa.benchmark import grid as grids
from papa.benchmark.machine import git_commit, processor
from papa.benchmark.runs.scores import FILE, read_scores, score_key, write_scores
from papa.errors import RecordError
from papa.paper import long_table, select, tables
from papa.paper.figures import FIGURES
from papa.paper.shown import shown

Data = dict[str, Any]


def nothing(value: str) -> None:
    pytest.fail(f"{value} is no JSON")


OTHERS: list[tuple[str, Callable[[Data], Any]]] = [
    ("a setting of a method", lambda d: d["methods"]["fkc"].update(beta_max=3)),
    ("a setting of a task", lambda d: d["tasks"]["gmm2d"].update(steps=6)),
    ("a measure", lambda d: d["measures"].update(final=9)),
    ("the root of all randomness", lambda d: d.update(root_seed=7)),
    ("a seed more", lambda d: d["grid"]["main"].update(seeds=[0, 1, 2])),
    ("a seed less", lambda d: d["grid"]["main"].update(seeds=[0])),
    ("a method less", lambda d: d["grid"]["main"].update(methods=["base"])),
    ("a user more", lambda d: d["grid"]["main"].update(users=["linear", "quadratic"])),
    ("another user", lambda d: d["grid"]["main"].update(users=["quadratic"])),
]


@pytest.mark.parametrize("change", [case[1] for case in OTHERS], ids=[case[0] for case in OTHERS])
def test_a_long_table_of_other_runs_is_refused(
    finished: tuple[Path, Path], refused: Callable[..., str], change: Callable[[Data], Any]
) -> None:
    """Nothing is written."""
    path, results = finished
    data = tiny.config(path.parent)
    change(data)
    other = path.with_name("other")
    other.mkdir()
    tiny.write(other, data)
    before = state_of(results)
    refused("page", "--config", other / "config.yaml", words=("runs.parquet", "made from other runs", "collect"))
    assert state_of(results) == before


@pytest.mark.parametrize("change", [case[1] for case in OTHERS if "less" not in case[0]])
def test_a_figure_of_other_runs_is_refused(
    finished: tuple[Path, Path], refused: Callable[..., str], change: Callable[[Data], Any]
) -> None:
    path, _ = finished
    data = tiny.config(path.parent)
    change(data)
    refused("plot", "F7", "--config", tiny.write(path.parent, data), words=("gmm2d", "run"))
    assert not (path.parent / "figures").exists()


def test_a_table_of_nothing_is_made_all_the_same(finished: tuple[Path, Path], papa: Papa) -> None:
    """On the plane no preference was measured."""
    path, results = finished
    assert papa("table", "T1", "--config", path)[0] == 0
    assert "Nothing of this ran" in (results / "tables" / "T1.md").read_text()


def test_the_level_of_intervals_is_no_other_run(finished: tuple[Path, Path], papa: Papa) -> None:
    path, _ = finished
    assert papa("table", "T7", "--config", path, "--override", '{"confidence": 0.5}')[0] == 0


def test_every_caption_names_commit_and_processor(finished: tuple[Path, Path], papa: Papa) -> None:
    path, _ = finished
    commit = (git_commit() or "unknown").rstrip("+")
    for name in tables.TABLES:
        assert papa("table", name, "--config", path)[0] == 0
    for name in FIGURES:
        assert papa("plot", name, "--config", path)[0] == 0
    assert papa("claims", "--config", path)[0] == 0
    captions = {file.stem: file.read_text(encoding="utf-8") for file in path.parent.rglob("*.rst")}
    assert set(captions) == {*tables.TABLES, *FIGURES, "claims"}
    of = grids.load(path)
    said = {name: text for name, text in captions.items() if shown(name, of)}
    assert "F7" in said
    for name, text in said.items():
        assert processor() in text and f"commit {commit[:10]}" in text, f"{name}: {text}"


def test_the_page_is_made_of_what_the_other_commands_wrote(finished: tuple[Path, Path], papa: Papa) -> None:
    """Where hardly anything ran as well; until all is there, the command says what to run."""
    path, results = finished
    code, said = papa("page", "--config", path)
    assert code == 2 and not (results / "index.html").exists()
    assert_paragraph(said, "F1.png", "other files. Run `snakemake --cores all`", "F1.png alone: `papa plot F1`")
    for command in (*(["table", name] for name in tables.TABLES), *(["plot", name] for name in FIGURES), ["claims"]):
        assert papa(*command, "--config", path)[0] == 0
    code, said = papa("page", "--config", path)
    assert code == 0 and "index.html: written, " in said and " MB" in said
    text = (results / "index.html").read_text(encoding="utf-8")
    assert (git_commit() or "unknown")[:10].rstrip("+") in text and processor() in text
    assert str(path.parent) not in text, "no path of this machine"


def test_a_value_that_is_no_number_is_empty_and_no_json_has_nan(finished: tuple[Path, Path], papa: Papa) -> None:
    path, _ = finished
    of = grids.load(path)
    spec = next(iter(of))
    rows = read_scores(spec.folder, score_key(spec))
    assert rows is not None
    for row, value in zip(rows, (math.nan, math.inf, -math.inf), strict=False):
        row["value"] = np.float64(value)
    write_scores(spec.folder, score_key(spec), rows)
    for command in (["collect"], ["claims"], ["table", "T3"], ["plot", "F7"]):
        assert papa(*command, "--config", path)[0] == 0
    stored = sorted(path.parent.rglob("*.json"))
    assert {FILE, "run.json", "claims.json"} <= {file.name for file in stored}
    for file in stored:
        json.loads(file.read_text(encoding="utf-8"), parse_constant=nothing)
    for file in path.parent.rglob("*.jsonl"):
        for line in file.read_text(encoding="utf-8").splitlines():
            json.loads(line, parse_constant=nothing)
    table = long_table.read_table(of)
    assert table.value.isna().sum() >= 3 and np.isfinite(table.value.dropna()).all()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"PAR1"),
        lambda file: file.write_text("task,method\n", encoding="utf-8"),
        lambda file: file.write_bytes(file.read_bytes()[:-9]),
        lambda file: pq.write_table(pq.read_table(file).replace_schema_metadata({}), file),
        lambda file: pq.write_table(pq.read_table(file).replace_schema_metadata({b"papa": b"[]"}), file),
        lambda file: pq.write_table(pq.read_table(file).replace_schema_metadata({b"papa": b"null"}), file),
        lambda file: pq.write_table(pq.read_table(file).replace_schema_metadata({b"papa": b'{"x": 1}'}), file),
    ],
    ids=["empty", "a beginning", "text", "cut off", "says nothing", "a list", "null", "something else"],
)
def test_a_damaged_long_table_is_named(
    finished: tuple[Path, Path], refused: Callable[..., str], papa: Papa, spoil: Callable[[Path], Any]
) -> None:
    path, results = finished
    spoil(results / "runs.parquet")
    refused("page", "--config", path, words=("runs.parquet cannot be read", "delete it", "papa collect"))
    assert long_table.made_from(grids.load(path)) is None
    assert papa("collect", "--config", path)[0] == 0
    assert len(long_table.read_table(grids.load(path)))


@pytest.mark.parametrize("name", ["value", "stage", "seed"])
def test_a_long_table_without_a_column_is_refused(
    finished: tuple[Path, Path], refused: Callable[..., str], name: str
) -> None:
    path, results = finished
    file = results / "runs.parquet"
    pq.write_table(pq.read_table(file).drop_columns([name]), file)
    with pytest.raises(RecordError) as caught:
        select.check(long_table.read_table(grids.load(path)))
    assert_paragraph(str(caught.value), "lacks the columns", name, "papa collect")


@pytest.mark.parametrize("text", ["many", "0.5", ""])
def test_text_where_numbers_stand_is_refused(
    finished: tuple[Path, Path], refused: Callable[..., str], text: str
) -> None:
    path, results = finished
    file = results / "runs.parquet"
    table = pq.read_table(file)
    values = [text, *map(str, table.column("value").to_pylist()[1:])]
    at = table.schema.get_field_index("value")
    pq.write_table(table.set_column(at, "value", [values]), file)
    refused("page", "--config", path, words=("value", "papa collect"))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (lambda d: d["rows"][0].update(value=0.999), ("changed after it was measured",)),
        (lambda d: d["rows"].pop(), ("changed after it was measured",)),
        (lambda d: d["rows"].append(dict(d["rows"][0])), ("changed after it was measured",)),
        (lambda d: d["rows"][0].update(metric="preference_gold"), ("changed after it was measured",)),
        (lambda d: d.update(rows=[]), ("changed after it was measured",)),
        (lambda d: d["rows"][0].pop("value"), ("damaged",)),
        (lambda d: d["rows"][0].update(value="0.9"), ("after it was measured",)),
        (lambda d: d["rows"][0].update(value="high"), ("damaged",)),
        (lambda d: d["rows"][0].update(stage="middle"), ("damaged",)),
        (lambda d: d.update(rows=None), ("damaged",)),
        (lambda d: d.update(key="0" * 16), ("no up-to-date values", "papa score")),
        (lambda d: d.pop("digest"), ("damaged",)),
    ],
)
def test_values_that_were_changed_by_hand_are_not_collected(
    finished: tuple[Path, Path], refused: Callable[..., str], papa: Papa, changed: Callable[[Data], Any], words: tuple
) -> None:
    """And measured again by the command that the error names."""
    path, results = finished
    file = results / "gmm2d/runs/fkc/linear/seed1" / FILE
    whole, table = file.read_bytes(), (results / "runs.parquet").read_bytes()
    data = json.loads(whole)
    changed(data)
    file.write_text(json.dumps(data), encoding="utf-8")
    said = refused("collect", "--config", path, words=words)
    assert "linear/seed1" in said and (results / "runs.parquet").read_bytes() == table
    assert papa("score", "--config", path)[0] == 0
    assert file.read_bytes() == whole


def test_generations_count_how_often_the_workflow_made_it(finished: tuple[Path, Path], papa: Papa) -> None:
    path, _ = finished
    of = grids.load(path)
    assert long_table.made_from(of).generation == 0
    assert papa("collect", "--config", path, "--generation", "3")[0] == 0
    assert long_table.made_from(of).generation == 3
    assert long_table.made_from(of).key == long_table.table_key(of)


def test_a_missing_long_table_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        long_table.read_table(tiny.grid(tmp_path))
    assert_paragraph(str(caught.value), "runs.parquet", "papa collect")
