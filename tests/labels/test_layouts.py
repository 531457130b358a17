"""The layouts of labels: what is read, and what is refused with its file and row."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import rated
from support.rated import changed, csv_file, encoded, files, folder, json_file, pixels
from support.refusals import refused

from papa import load_labels
from papa.benchmark.personal.pick_a_pic import Written, write
from papa.errors import LabelsError
from papa.labels.interface import Labels

ROOT = Path(__file__).parents[2]


def shown(labels: Labels) -> list[np.ndarray]:
    return [picture.pixels for picture in labels.pictures()]


# ---------------------------------------------------------------- a folder


def test_a_folder_of_what_is_liked_and_what_is_not(tmp_path: Path) -> None:
    labels = load_labels(folder(tmp_path / "rated", liked=2, disliked=3))
    assert labels.kind == "grades" and labels.preference.tolist() == [1, 1, 0, 0, 0] and len(labels) == 5
    expected = [pixels(number, light) for number, light in ((0, True), (1, True), (0, False), (1, False), (2, False))]
    assert all(np.array_equal(one, other) for one, other in zip(shown(labels), expected, strict=True))
    assert labels.places[2] == str(tmp_path / "rated" / "disliked" / "0.png")


def test_a_folder_with_likes_alone_and_what_file_managers_leave(tmp_path: Path) -> None:
    place = folder(tmp_path, liked=2, disliked=0)
    (place / "disliked").rmdir()
    for name in (".DS_Store", "Thumbs.db", "liked/.hidden.png", "liked/desktop.ini"):
        (place / name).write_bytes(b"")
    assert load_labels(str(place)).preference.tolist() == [1, 1]


def no_pictures(place: Path) -> None:
    for file in place.rglob("*.png"):
        file.unlink()


FOLDERS: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "no pictures": (no_pictures, ("has no pictures", "liked")),
    "another name": (lambda p: (p / "liked").rename(p / "likes"), ("likes", "did you mean the folder 'liked'")),
    "a picture beside them": (lambda p: (p / "c.png").write_bytes(b"x"), ("c.png has no label",)),
    "a folder in one": (lambda p: (p / "liked" / "more").mkdir(), ("liked/more is a folder", "Move them")),
    "a link that leads out": (
        lambda p: (p / "liked" / "l.png").symlink_to("/etc/hostname"),
        ("liked/l.png leads out of", "absolute path"),
    ),
    "a link to nothing": (lambda p: (p / "liked" / "l.png").symlink_to(p / "x.png"), ("liked/l.png is not there",)),
    "a circle of links": (lambda p: (p / "liked" / "l.png").symlink_to(p / "liked" / "l.png"), ("liked/l.png",)),
}


@pytest.mark.parametrize(("spoil", "words"), FOLDERS.values(), ids=FOLDERS.keys())
def test_a_folder_that_says_something_else_is_refused(
    tmp_path: Path, spoil: Callable[[Path], Any], words: tuple[str, ...]
) -> None:
    place = folder(tmp_path / "rated")
    spoil(place)
    refused(LabelsError, lambda: load_labels(place), *words)


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "liked").write_bytes(b"")
    refused(LabelsError, lambda: load_labels(tmp_path), "liked is no folder")


def test_the_same_picture_under_two_names_is_refused_when_it_is_read(tmp_path: Path) -> None:
    place = folder(tmp_path)
    (place / "disliked" / "again.png").write_bytes(encoded(pixels(1, True)))
    labels = load_labels(place)
    refused(LabelsError, lambda: shown(labels), "disliked/again.png is the same picture as", "liked/1.png")


def test_other_sources_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("")
    refused(LabelsError, lambda: load_labels(tmp_path / "labels.txt"), "labels.txt is no layout", ".csv")
    refused(LabelsError, lambda: load_labels(tmp_path / "none.csv"), "none.csv is not there")
    refused(LabelsError, lambda: load_labels(folder(tmp_path / "rated"), user="me"), "whose its labels are")


# ---------------------------------------------------------------- tables


def test_grades_in_csv(tmp_path: Path) -> None:
    files(tmp_path, 5)
    grades = ("1", "0", "TRUE", " false ", "0.25")
    lines = [f"{number}.png,{grade}" for number, grade in enumerate(grades)]
    labels = load_labels(csv_file(tmp_path, "image,grade", *lines))
    assert labels.kind == "grades" and labels.preference.tolist() == [1, 0, 1, 0, 0.25]
    assert all(np.array_equal(x, pixels(i, i % 2 == 0)) for i, x in enumerate(shown(labels)))


def test_grades_in_json_lines(tmp_path: Path) -> None:
    names, grades = files(tmp_path, 4), [1, False, True, 0.5]
    rows = [{"grade": grade, "image": name} for name, grade in zip(names, grades, strict=True)]
    labels = load_labels(json_file(tmp_path, rows))
    assert labels.preference.tolist() == [1, 0, 1, 0.5] and len(shown(labels)) == 4


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_pairs_and_ties(tmp_path: Path, form: str) -> None:
    names = files(tmp_path, 4)
    rows = [(names[0], names[1], None), (names[2], names[1], True), (names[3], names[0], False)]
    if form == "csv":
        said = ["better,worse,tie", *(f"{a},{b},{'' if tie is None else str(tie).lower()}" for a, b, tie in rows)]
        labels = load_labels(csv_file(tmp_path, *said))
    else:
        said = [{"better": a, "worse": b} | ({} if tie is None else {"tie": tie}) for a, b, tie in rows]
        labels = load_labels(json_file(tmp_path, said))
    assert labels.kind == "pairs" and len(labels) == 4 and np.isnan(labels.preference).all()
    assert labels.pairs.tolist() == [[0, 1], [3, 0]] and labels.ties.tolist() == [[2, 1]]
    assert len(shown(labels)) == 4


def test_paths_may_be_absolute_and_lie_anywhere(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "table").mkdir()
    files(tmp_path / "elsewhere", 1)
    path = tmp_path / "elsewhere" / "0.png"
    assert load_labels(csv_file(tmp_path / "table", "image,grade", f"{path},1")).preference.tolist() == [1]


def test_a_mark_at_the_start_other_line_ends_and_empty_lines(tmp_path: Path) -> None:
    files(tmp_path, 2)
    table = tmp_path / "labels.csv"
    table.write_bytes(b"\xef\xbb\xbfimage,grade\r\n0.png,1\r\n\r\n1.png,0")  # the last line has no end
    assert load_labels(table).preference.tolist() == [1, 0]
    lines = tmp_path / "labels.jsonl"
    lines.write_bytes(b'\xef\xbb\xbf{"image": "0.png", "grade": 1}\r\n\r\n{"image": "1.png", "grade": 0}')
    assert load_labels(lines).preference.tolist() == [1, 0]


TABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no columns": ((), ("is empty", "image,grade")),
    "no rows": (("image,grade",), ("has no labels",)),
    "an unknown column": (("image,grad", "0.png,1"), ("line 1 of", "unknown column 'grad'; did you mean 'grade'?")),
    "semicolons": (("image;grade", "0.png;1"), ("line 1 of", "by commas")),
    "a column twice": (("image,grade,grade", "0.png,1,1"), ("line 1 of", "the column grade twice")),
    "no grades": (("image", "0.png"), ("line 1 of", "has no grade")),
    "both kinds": (("image,grade,worse,better", "0.png,1,1.png,2.png"), ("line 1 of", "beside better")),
    "a tie of one": (("image,grade,tie", "0.png,1,true"), ("line 1 of", "no better and no worse")),
    "too large": (("image,grade", "0.png,1", "1.png,1.5"), ("line 3 of", "the grade 1.5", "0, 0.25, 0.5, 0.75, 1")),
    "negative": (("image,grade", "0.png,-1"), ("line 2 of", "the grade -1.0")),
    "no number": (("image,grade", "0.png,yes"), ("line 2 of", "the grade 'yes'")),
    "nan": (("image,grade", "0.png,nan"), ("line 2 of", "the grade 'nan'")),
    "underscores": (("image,grade", "0.png,0_1"), ("line 2 of", "the grade '0_1'")),
    "no grade": (("image,grade", "0.png,"), ("line 2 of", "the grade None")),
    "no image": (("image,grade", ",1"), ("line 2 of", "names no picture")),
    "twice": (("image,grade", "0.png,1", "1.png,0", "./0.png,0"), ("line 4 of", "./0.png", "already in line 2 of")),
    "not there": (("image,grade", "0.png,1", "none.png,0"), ("line 3 of", "none.png", "is not there")),
    "a folder": (("image,grade", ".,1"), ("line 2 of", "is no file")),
    "out of the folder": (("image,grade", "../x.png,1"), ("line 2 of", "../x.png", "leads out of")),
    "half written": (("image,grade", "0.png,1", "1.pn"), ("line 3 of", "and has 1;", "half written")),
    "half a number": (("image,grade", "0.png,1", "1.png,0."), ("line 3 of", "the grade '0.'")),
    "half in quotes": (("image,grade", "0.png,1", '"1.pn'), ("line", "is no CSV", "half written")),
    "a comma in a name": (("image,grade", "a,b.png,1"), ("line 2 of", "and has 3;", "quotation marks")),
    "a pair of one": (("better,worse", "0.png,./0.png"), ("line 2 of", "with itself")),
    "a pair twice": (("better,worse", "0.png,1.png", "1.png,0.png"), ("line 3 of", "the pictures of line 2 of")),
    "half a pair": (("better,worse", "0.png,"), ("line 2 of", "names no picture")),
    "a tie that is none": (("better,worse,tie", "0.png,1.png,0.5"), ("line 2 of", "the tie 0.5")),
    "a name that is too long": (("image,grade", f"{'x' * 300},1"), ("line 2 of",)),
}


@pytest.mark.parametrize(("lines", "words"), TABLES.values(), ids=TABLES.keys())
def test_a_table_that_is_wrong_is_refused_with_its_line(
    tmp_path: Path, lines: tuple[str, ...], words: tuple[str, ...]
) -> None:
    files(tmp_path, 3)
    refused(LabelsError, lambda: load_labels(csv_file(tmp_path, *lines)), "labels.csv", *words)


JSON: dict[str, tuple[str, tuple[str, ...]]] = {
    "no lines": ("\n", ("has no labels",)),
    "half written": ('{"image": "0.png", "grade": 1}\n{"image": "1.p', ("line 2 of", "is no JSON", "half written")),
    "a list": ('["0.png", 1]\n', ("line 1 of", "no JSON object")),
    "an unknown column": (
        '{"image": "0.png", "grade": 1}\n{"imag": "1.png", "grade": 1}\n',
        ("line 2 of", "unknown column 'imag'; did you mean 'image'?"),
    ),
    "another kind below": (
        '{"image": "0.png", "grade": 1}\n{"better": "1.png", "worse": "0.png"}\n',
        ("line 2 of", "has no image"),
    ),
    "a name twice": ('{"image": "0.png", "grade": 1, "grade": 0}\n', ("line 1 of", "names grade twice")),
    "a grade in text": ('{"image": "0.png", "grade": "1"}\n', ("line 1 of", "the grade '1'")),
    "no grade": ('{"image": "0.png", "grade": null}\n', ("line 1 of", "the grade None")),
    "no number": ('{"image": "0.png", "grade": NaN}\n', ("line 1 of", "the grade nan")),
    "a path that is none": ('{"image": 0, "grade": 1}\n', ("line 1 of", "names no picture (0)")),
    "a zero byte": ('{"image": "0\\u0000.png", "grade": 1}\n', ("line 1 of",)),
    "deep": ("[" * 100000 + "\n", ("line 1 of", "is no JSON")),
}


@pytest.mark.parametrize(("text", "words"), JSON.values(), ids=JSON.keys())
def test_json_lines_that_are_wrong_are_refused_with_their_line(
    tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    files(tmp_path, 3)
    (tmp_path / "labels.jsonl").write_text(text)
    refused(LabelsError, lambda: load_labels(tmp_path / "labels.jsonl"), "labels.jsonl", *words)


@pytest.mark.parametrize("name", ["labels.csv", "labels.jsonl"])
def test_another_encoding_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"image,grade\n" + "é.png,1\n".encode("latin-1"))
    refused(LabelsError, lambda: load_labels(tmp_path / name), "line 2 of", name, "is not UTF-8")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "0.png", "wb") as handle:
        handle.truncate(2**28 + 1)
    refused(LabelsError, lambda: load_labels(csv_file(tmp_path, "image,grade", "0.png,1")), "0.png", "256 at most")


def test_a_picture_that_goes_before_it_is_read_is_named(tmp_path: Path) -> None:
    files(tmp_path, 1)
    labels = load_labels(csv_file(tmp_path, "image,grade", "0.png,1"))
    os.unlink(tmp_path / "0.png")
    refused(LabelsError, lambda: shown(labels), "0.png (line 2 of", "cannot be read")


def test_a_picture_is_read_once_and_only_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, before = [], Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (read.append(path.name), before(path))[1])
    names = files(tmp_path, 3)
    labels = load_labels(csv_file(tmp_path, "image,grade", *(f"{name},1" for name in names)))
    assert read == ["labels.csv"]
    pictures = labels.pictures()
    next(pictures)
    assert read == ["labels.csv", "0.png"]
    assert len(list(pictures)) == 2 and read == ["labels.csv", *names]


# ---------------------------------------------------------------- what is written is read again

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=30).filter(
    lambda name: name.strip() and name not in (".", "..") and len(name.encode()) < 200
)
GRADES = st.dictionaries(NAMES, st.one_of(st.booleans(), st.floats(0, 1)), min_size=1, max_size=5)


def in_csv(grades: dict[str, Any]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([("image", "grade"), *grades.items()])
    return buffer.getvalue()


def in_json(grades: dict[str, Any]) -> str:
    return "".join(json.dumps({"image": name, "grade": grade}) + "\n" for name, grade in grades.items())


@pytest.mark.parametrize(("name", "written"), [("l.csv", in_csv), ("l.jsonl", in_json)])
@given(grades=GRADES)
def test_grades_that_are_written_are_read_again(
    name: str, written: Callable[[dict[str, Any]], str], grades: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as place:
        for picture in grades:
            Path(place, picture).write_bytes(b"")  # there, and not read yet
        Path(place, name).write_bytes(written(grades).encode())
        labels = load_labels(Path(place, name))
    assert labels.preference.tolist() == [float(grade) for grade in grades.values()]
    assert all(place.startswith(picture) for place, picture in zip(labels.places, grades, strict=True))


# ---------------------------------------------------------------- Pick-a-Pic

ROWS = [
    Written("ann", "a pear", 0, 1, 1.0),
    Written("bob", "fruit", 2, 3, 0.0),
    Written("ann", "fruit", 1, 2, 0.5),
    Written("ann", "fruit", 3, 2, 0.0),
]


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    write(tmp_path / "pairs.parquet", [pixels(i) for i in range(4)], ROWS)
    return tmp_path / "pairs.parquet"


def test_the_pairs_of_one_user(parquet: Path) -> None:
    labels = load_labels(parquet, user="ann")
    assert labels.kind == "pairs" and len(labels) == 6
    assert labels.pairs.tolist() == [[0, 1], [5, 4]] and labels.ties.tolist() == [[2, 3]]
    expected = [0, 1, 1, 2, 3, 2]
    assert all(np.array_equal(x, pixels(i)) for x, i in zip(shown(labels), expected, strict=True))
    assert labels.places[3] == f"jpg_1 in row 2 of {parquet}"


def test_a_file_of_one_user_or_without_users_needs_no_name(parquet: Path, tmp_path: Path) -> None:
    frame = pd.read_parquet(parquet).drop(columns=["user_id", "caption", "ranking_id"])
    frame.to_parquet(tmp_path / "nobody.parquet")
    assert len(load_labels(tmp_path / "nobody.parquet")) == 8
    refused(LabelsError, lambda: load_labels(tmp_path / "nobody.parquet", "ann"), "no rows of user 'ann'")


def test_rows_without_a_label_are_left_out_with_a_note(parquet: Path) -> None:
    labels = load_labels(changed(parquet, 0, label_0=None, label_1=None), "ann")
    assert labels.notes == ("1 rows without a label are left out",) and len(labels) == len(shown(labels)) == 4


def test_batches_change_nothing(parquet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = shown(load_labels(parquet, "ann"))
    monkeypatch.setattr("papa.labels.pick_a_pic.BATCH", 1)
    assert all(np.array_equal(x, y) for x, y in zip(shown(load_labels(parquet, "ann")), whole, strict=True))


def test_files_of_pairs_that_are_refused(parquet: Path, tmp_path: Path) -> None:
    refused(LabelsError, lambda: load_labels(parquet), "rows of 2 users", "ann (3), bob (1)", "--user")
    refused(LabelsError, lambda: load_labels(parquet, "eve"), "no rows of user 'eve'", "ann (3)")
    refused(LabelsError, lambda: load_labels(changed(parquet, 2, ranking_id=0), "ann"), "row 2 of", "of row 0")
    refused(LabelsError, lambda: load_labels(changed(parquet, 2, label_0=0.7), "ann"), "0.7 and 0.5", "row 2 of")
    refused(LabelsError, lambda: load_labels(changed(parquet, 1, label_0=None), "bob"), "no pairs with a label")
    pd.read_parquet(parquet).drop(columns=["jpg_1"]).to_parquet(tmp_path / "less.parquet")
    refused(LabelsError, lambda: load_labels(tmp_path / "less.parquet"), "less.parquet has no column jpg_1")
    (tmp_path / "half.parquet").write_bytes(parquet.read_bytes()[:-50])
    refused(LabelsError, lambda: load_labels(tmp_path / "half.parquet"), "half.parquet cannot be read as a parquet")


@pytest.mark.parametrize(
    ("value", "words"), [(None, ("is missing",)), (b"", ("is empty",)), (encoded(pixels(0))[:300], ("is broken",))]
)
def test_a_picture_in_a_row_that_cannot_be_read_is_named(parquet: Path, value: Any, words: tuple[str, ...]) -> None:
    labels = load_labels(changed(parquet, 3, jpg_1=value), "ann")
    refused(LabelsError, lambda: shown(labels), "jpg_1 in row 3 of", str(parquet), *words)


def test_labels_in_words_are_refused(parquet: Path) -> None:
    frame = pd.read_parquet(parquet)
    frame.assign(label_0=["yes"] * len(frame)).to_parquet(parquet)
    refused(LabelsError, lambda: load_labels(parquet, "ann"), "label_0 in row 0 of", "'yes'")


# ---------------------------------------------------------------- the command


def test_the_command_says_what_is_in_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from papa import cli

    place = folder(tmp_path / "rated", liked=2, disliked=1)
    (place / "liked" / "clear.png").write_bytes(encoded(np.zeros((12, 20, 4), np.uint8)))
    assert cli.main(["labels", str(place)]) == 0
    said = capsys.readouterr().out
    for words in (
        "4 pictures, 3 liked and 1 disliked",
        "16 x 16 (3), 20 x 12 (1); sides from 12 to 20 pixels",
        "note: pictures that have transparent parts, which are put on white: 1",
        "methods that learn from grades of pictures: best_of_n",
    ):
        assert words in said


def test_the_command_lists_every_problem_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from papa import cli

    place = folder(tmp_path / "rated", liked=3, disliked=3)
    (place / "liked" / "1.png").write_bytes(b"")
    (place / "disliked" / "2.png").write_bytes(b"notes")
    assert cli.main(["labels", str(place)]) == 2
    said = capsys.readouterr()
    assert said.out.count("problem: ") == 2 and "liked/1.png is empty" in said.out and "16 x 16 (4)" in said.out
    assert "2 of the 6 pictures cannot be used" in said.err and "methods that learn" not in said.out


def test_the_command_refuses_a_wrong_table_and_knows_users(
    parquet: Path, tmp_path: Path, papa: Callable[..., tuple[int, str]]
) -> None:
    files(tmp_path, 1)
    code, said = papa("labels", csv_file(tmp_path, "image,grade", "0.png,7"))
    assert code == 2 and "papa labels: line 2 of" in said
    assert papa("labels", parquet)[0] == 2 and papa("labels", parquet, "--user", "bob")[0] == 0


def test_pictures_of_the_tests_differ() -> None:
    assert not np.array_equal(rated.pixels(0), rated.pixels(1)) and rated.pixels(0).mean() > 150


# ---------------------------------------------------------------- the documentation

DOCUMENTED = re.findall(
    r"^```(csv|json)\n(.*?)^```", (ROOT / "docs" / "labels.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize(("form", "text"), DOCUMENTED)
def test_the_tables_of_the_documentation_are_read(tmp_path: Path, form: str, text: str) -> None:
    for number, name in enumerate(
        ("liked/apple.jpg", "liked/pear.png", "disliked/fog.webp", "disliked/fog, early.webp")
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encoded(pixels(number)))
    table = tmp_path / f"labels.{form}{'l' * (form == 'json')}"
    table.write_text(text)
    assert len(shown(load_labels(table))) >= 2


def test_the_documentation_has_tables_of_each_kind() -> None:
    assert [form for form, _ in DOCUMENTED] == ["csv", "csv", "json", "json"]
