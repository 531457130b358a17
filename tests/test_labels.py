"""Labels of existing images: layouts, what is refused, and the command `papa labels`."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.rated import changed, csv_file, encoded, files, folder, pixels
from support.refusals import refused

from papa import Labels, load_labels
from papa.benchmark.personal.pick_a_pic import Written, read, write
from papa.errors import LabelsError, PapaError

ROOT = Path(__file__).parents[1]


def shown(labels: Labels) -> list[np.ndarray]:
    return [image.pixels for image in labels.images()]


def table(place: Path, form: str, rows: list[dict[str, Any]]) -> Path:
    file, frame = place / f"labels.{form}", pd.DataFrame(rows)
    if form == "csv":
        frame.to_csv(file, index=False)
    elif form == "jsonl":
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    else:
        frame.to_parquet(file)
    return file


def test_a_folder_of_liked_and_disliked_images(tmp_path: Path) -> None:
    place = folder(tmp_path, liked=2, disliked=3)
    (place / "liked" / ".DS_Store").write_bytes(b"")
    labels = load_labels(str(place))
    assert labels.kind == "grades" and labels.preference.tolist() == [1, 1, 0, 0, 0] and len(labels) == 5
    expected = [pixels(number, light) for number, light in ((0, True), (1, True), (0, False), (1, False), (2, False))]
    assert all(np.array_equal(one, other) for one, other in zip(shown(labels), expected, strict=True))
    assert labels.places[2] == str(place / "disliked" / "0.png")


FOLDERS: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "no images": (lambda p: [file.unlink() for file in p.rglob("*.png")], ("no images", "disliked")),
    "a misspelled folder": (lambda p: (p / "liked").rename(p / "likes"), ("likes", "did you mean 'liked'")),
    "an image beside them": (lambda p: (p / "c.png").write_bytes(b"x"), ("c.png has no label",)),
    "one image twice": (
        lambda p: (p / "disliked" / "z.png").write_bytes(encoded(pixels(1))),
        ("disliked/z.png is the same image as", "liked/1.png"),
    ),
}


@pytest.mark.parametrize(("spoil", "words"), FOLDERS.values(), ids=FOLDERS.keys())
def test_a_folder_that_cannot_be_used(tmp_path: Path, spoil: Callable[[Path], Any], words: tuple[str, ...]) -> None:
    place = folder(tmp_path / "rated")
    spoil(place)
    refused(LabelsError, lambda: shown(load_labels(place)), *words)


def test_other_sources_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("")
    refused(LabelsError, lambda: load_labels(tmp_path / "labels.txt"), "labels.txt", ".csv")
    refused(LabelsError, lambda: load_labels(tmp_path / "none.csv"), "none.csv does not exist")
    refused(LabelsError, lambda: load_labels(folder(tmp_path / "rated"), user="me"), "names no users")


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_tables_of_labels_and_of_comparisons(tmp_path: Path, form: str) -> None:
    names = files(tmp_path, 4)
    (tmp_path / "elsewhere").mkdir()
    names[3] = str((tmp_path / names[3]).rename(tmp_path / "elsewhere" / "3.png"))  # an absolute path
    values = [1, 0, 0.25, 0.5] if form == "parquet" else [1, False, True, 0.25]
    rows = [{"label": value, "image": name} for name, value in zip(names, values, strict=True)]
    labels = load_labels(table(tmp_path, form, rows))
    assert labels.kind == "grades" and labels.preference.tolist() == [float(value) for value in values]
    assert all(np.array_equal(x, pixels(i, i % 2 == 0)) for i, x in enumerate(shown(labels)))

    compared = [(0, 1, None), (2, 1, True), (3, 0, False), (0, 1, None)]
    rows = [{"winner": names[a], "loser": names[b], "tie": tie} for a, b, tie in compared]
    labels = load_labels(table(tmp_path, form, rows))
    assert labels.kind == "pairs" and len(labels) == len(shown(labels)) == 4 and np.isnan(labels.preference).all()
    assert labels.pairs.tolist() == [[0, 1], [3, 0], [0, 1]] and labels.ties.tolist() == [[2, 1]]
    labels = load_labels(table(tmp_path, form, [{"winner": names[2], "loser": names[0]}]))
    assert labels.pairs.tolist() == [[0, 1]] and labels.ties.shape == (0, 2) and shown(labels)[0].mean() > 150


def test_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    """A byte order mark, CR LF, an empty line, blanks after commas, a comma in a name, a last line without an end."""
    (tmp_path / "a, b.png").write_bytes(encoded(pixels(0)))
    files(tmp_path, 2)
    file = tmp_path / "labels.csv"
    file.write_bytes(b'\xef\xbb\xbfimage, label\r\n0.png, TRUE\r\n\r\n"a, b.png", 0.5\r\n1.png,0')
    assert load_labels(file).preference.tolist() == [1, 0.5, 0]


TABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "empty": ((), ("cannot be read as a table",)),
    "no rows": (("image,label",), ("no rows",)),
    "an unknown column": (("image,labels", "0.png,1"), ("unknown column 'labels'; did you mean 'label'?",)),
    "no label column": (("image", "0.png"), ("no column 'label'",)),
    "both kinds": (("image,label,winner,loser", "0.png,1,1.png,2.png"), ("unknown column 'image'",)),
    "five stars": (("image,label", "0.png,1", "1.png,4"), ("row 2 of", "'4'", "0, 0.25, 0.5, 0.75, 1")),
    "a word": (("image,label", "0.png,yes"), ("row 1 of", "'yes'")),
    "no label": (("image,label", "0.png,1", "1.png,"), ("row 2 of",)),
    "too many cells": (("image,label", "a,b.png,1"), ("quotation marks",)),
    "not there": (("image,label", "0.png,1", "none.png,0"), ("none.png (row 2 of", "is no file")),
    "a Windows path": (("image,label", r"liked\0.png,1"), ("Write / between folders",)),
    "an image with itself": (("winner,loser", "1.png,0.png", "0.png,0.png"), ("row 2 of", "compare two images")),
    "half a tie": (("winner,loser,tie", "0.png,1.png,0.5"), ("row 1 of", "the tie '0.5'")),
}


@pytest.mark.parametrize(("lines", "words"), TABLES.values(), ids=TABLES.keys())
def test_a_table_that_is_wrong_is_refused_with_its_row(
    tmp_path: Path, lines: tuple[str, ...], words: tuple[str, ...]
) -> None:
    files(tmp_path, 3)
    refused(LabelsError, lambda: load_labels(csv_file(tmp_path, *lines)), "labels.csv", *words)


@pytest.mark.parametrize(
    "content", [b'{"image": "0.png", "label": 1}\n{"image": "1.p', b'["0.png", 1]\n', b"\xff\xfe", b'{"image": 0}\n']
)
def test_json_lines_that_are_wrong_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "labels.jsonl").write_bytes(content)
    refused(LabelsError, lambda: load_labels(tmp_path / "labels.jsonl"), "labels.jsonl")


def test_of_many_comparisons_each_image_is_looked_up_and_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, opened, looked_up = files(tmp_path, 6), Counter[str](), Counter[str]()
    read_bytes, isfile = Path.read_bytes, os.path.isfile
    monkeypatch.setattr(Path, "read_bytes", lambda path: (opened.update([path.name]), read_bytes(path))[1])
    monkeypatch.setattr(os.path, "isfile", lambda path: (looked_up.update([Path(path).name]), isfile(path))[1])
    rows = [f"{a},{b}" for _ in range(20) for a in names for b in names if a != b]
    labels = load_labels(csv_file(tmp_path, "winner,loser", *rows))
    assert len(labels.pairs) == 600 and not set(names) & set(opened)
    assert len(shown(labels)) == 6
    assert all(opened[name] == looked_up[name] == 1 for name in names)


DOCUMENTED = re.findall(
    r"^```(csv|json)\n(.*?)^```", (ROOT / "docs" / "labels.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


def test_the_tables_of_the_documentation_are_read(tmp_path: Path) -> None:
    assert {form for form, _ in DOCUMENTED} == {"csv", "json"}
    for number, name in enumerate(
        ("liked/apple.jpg", "liked/pear.png", "disliked/fog.webp", "disliked/fog, early.webp")
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encoded(pixels(number)))
    for form, text in DOCUMENTED:
        file = tmp_path / f"labels.{form}{'l' * (form == 'json')}"
        file.write_text(text)
        assert len(shown(load_labels(file))) >= 2


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


@pytest.mark.parametrize("batch", [1, 256])
def test_the_pairs_of_one_user(parquet: Path, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("papa.labels.BATCH", batch)
    labels = load_labels(parquet, user="ann")
    assert labels.kind == "pairs" and len(labels) == 6
    assert labels.pairs.tolist() == [[0, 1], [5, 4]] and labels.ties.tolist() == [[2, 3]]
    assert all(np.array_equal(x, pixels(i)) for x, i in zip(shown(labels), [0, 1, 1, 2, 3, 2], strict=True))
    assert labels.places[3] == f"jpg_1 in row 2 of {parquet}"


def test_images_in_a_struct_column_and_a_file_without_users(parquet: Path) -> None:
    """As `datasets` writes an Image feature; rows whose `has_label` is false have no label, whatever is there."""
    frame = pd.read_parquet(parquet).drop(columns=["user_id", "caption"])
    for name in ("jpg_0", "jpg_1"):
        frame[name] = [{"bytes": data, "path": f"{name}.jpg"} for data in frame[name]]
    frame.loc[1, ["has_label", "label_0", "label_1"]] = (False, 0, 0)
    frame.to_parquet(parquet)
    labels = load_labels(parquet)
    assert len(labels.pairs) == 2 and len(labels) == 6 and labels.notes == ("1 rows without a label are left out",)
    assert np.array_equal(shown(labels)[0], pixels(0))


def test_files_of_pairs_that_are_refused(parquet: Path, tmp_path: Path) -> None:
    refused(LabelsError, lambda: load_labels(parquet), "rows of 2 users", "ann (3), bob (1)", "--user")
    refused(LabelsError, lambda: load_labels(parquet, "eve"), "no rows of user 'eve'", "ann (3)")
    pd.read_parquet(parquet).drop(columns=["jpg_1"]).to_parquet(tmp_path / "less.parquet")
    refused(LabelsError, lambda: load_labels(tmp_path / "less.parquet"), "less.parquet has no column jpg_1")
    (tmp_path / "half.parquet").write_bytes(parquet.read_bytes()[:-50])
    refused(LabelsError, lambda: load_labels(tmp_path / "half.parquet"), "half.parquet cannot be read")
    refused(LabelsError, lambda: load_labels(changed(parquet, 2, label_0=0.7), "ann"), "0.7 and 0.5", "row 2 of")
    refused(LabelsError, lambda: load_labels(changed(parquet, 1, label_0=None), "bob"), "no pairs with a label")
    labels = load_labels(changed(parquet, 0, jpg_1=None), "ann") if changed(parquet, 2, label_0=0.5) else None
    assert labels is not None
    refused(LabelsError, lambda: shown(labels), f"jpg_1 in row 0 of {parquet}", "missing")


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n{} loop\n%%EOF\n"


def test_no_program_is_started_for_an_image(tmp_path: Path, parquet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow runs Ghostscript on PostScript, whatever the file is called."""

    def started(*_: object, **__: object) -> None:
        raise AssertionError("Ghostscript")

    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", started)
    place = folder(tmp_path / "rated", liked=1, disliked=0)
    (place / "liked" / "0.png").write_bytes(POSTSCRIPT)
    refused(LabelsError, lambda: shown(load_labels(place)), "liked/0.png", "in one of the formats")
    labels = load_labels(changed(parquet, 3, jpg_0=POSTSCRIPT), "ann")
    refused(LabelsError, lambda: shown(labels), "jpg_0 in row 3")
    refused(PapaError, lambda: list(read([parquet])), "jpg_0 in row 3")


def test_the_command_reports_counts_sizes_and_every_problem(
    tmp_path: Path, parquet: Path, capsys: pytest.CaptureFixture[str], papa: Callable[..., tuple[int, str]]
) -> None:
    from papa import cli

    place = folder(tmp_path / "rated", liked=2, disliked=2)
    (place / "liked" / "wide.png").write_bytes(encoded(np.zeros((12, 20, 3), np.uint8)))
    assert cli.main(["labels", str(place)]) == 0
    said = capsys.readouterr().out
    for words in (
        "5 images, 3 liked and 2 disliked",
        "16 x 16 (4), 20 x 12 (1)",
        "learn from grades of images: best_of_n",
    ):
        assert words in said
    (place / "liked" / "1.png").write_bytes(b"")
    (place / "disliked" / "0.png").write_bytes(encoded(pixels(7))[:300])
    assert cli.main(["labels", str(place)]) == 2
    said = capsys.readouterr()
    assert said.out.count("problem: ") == 2 and "liked/1.png is missing or empty" in said.out
    assert "2 of the 5 images cannot be used" in said.err and "methods that learn" not in said.out
    assert papa("labels", parquet)[0] == 2 and papa("labels", parquet, "--user", "bob")[0] == 0
