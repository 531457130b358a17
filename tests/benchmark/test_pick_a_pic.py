"""Pick-a-Pic's layout: what is written is read again, and files that are none are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.rated import changed

from papa.benchmark.personal.pick_a_pic import NEEDED, Written, encoded, labelled, read, write
from papa.errors import PapaError
from papa.rng import Stream


def images(n: int = 4) -> np.ndarray:
    return (Stream(0).uniform(n, 8, 8, 3) * 256).astype(np.uint8)


ROWS = [Written("ann", "a pear", 0, 1, 1.0), Written("bob", "fruit", 2, 3, 0.0), Written("ann", "fruit", 1, 2, 0.5)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write(tmp_path / "pairs.parquet", list(images()), ROWS)
    return tmp_path / "pairs.parquet"


def test_what_is_written_is_read_again(file: Path) -> None:
    found, pictures = list(read([file, file])), images()
    assert len(found) == 2 * len(ROWS)
    for choice, row in zip(found, ROWS * 2, strict=True):
        assert (choice.user, choice.caption, choice.label) == (row.user, row.caption, row.label)
        assert np.array_equal(choice.first, pictures[row.first]) and np.array_equal(choice.second, pictures[row.second])


def test_the_columns_are_those_of_the_published_dataset(file: Path) -> None:
    frame = pd.read_parquet(file)
    assert set(NEEDED) < set(frame.columns) and {"best_image_uid", "image_0_uid", "are_different"} < set(frame.columns)
    assert frame["best_image_uid"].tolist() == [frame["image_0_uid"][0], frame["image_1_uid"][1], ""]


def test_rows_without_a_label_are_left_out(file: Path) -> None:
    assert len(list(read([changed(file, 1, label_0=None, label_1=None)]))) == len(ROWS) - 1


def test_some_users_and_some_of_their_rows(file: Path) -> None:
    assert labelled([file, file]) == {"ann": 4, "bob": 2}
    assert labelled([changed(file, 1, label_0=None, label_1=None)]) == {"ann": 2}
    found = [(choice.user, choice.caption) for choice in read([file, file], {"ann": 3})]
    assert found == [("ann", "a pear"), ("ann", "fruit"), ("ann", "a pear")]


def test_missing_columns_and_other_files(file: Path, tmp_path: Path) -> None:
    pd.read_parquet(file).drop(columns=["user_id", "jpg_1"]).to_parquet(tmp_path / "less.parquet")
    with pytest.raises(PapaError, match=r"less.parquet.* jpg_1, user_id"):
        list(read([tmp_path / "less.parquet"]))
    (tmp_path / "text.parquet").write_text("no parquet")
    for name in ("text.parquet", "nothing.parquet"):
        with pytest.raises(PapaError, match=name):
            list(read([tmp_path / name]))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"jpg_0": None}, "jpg_0"),
        ({"jpg_1": encoded(images()[0])[:40]}, "jpg_1"),
        ({"label_0": 0.7}, "0.7"),
        ({"user_id": None}, "user_id"),
    ],
)
def test_broken_rows_are_named(file: Path, values: dict[str, Any], said: str) -> None:
    with pytest.raises(PapaError, match=said) as raised:
        list(read([changed(file, 2, **values)]))
    assert "row 2" in str(raised.value)
