"""IDX files: what is written is read again, and an error names the bad file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.tiny_mnist import write_idx

from papa.benchmark.tasks.idx import IMAGES, LABELS, read_folder
from papa.errors import PapaError
from papa.rng import Stream

X = (Stream(0).uniform(7, 28, 28) * 256).astype(np.uint8)
Y = np.arange(7, dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The training part gzipped, the test part as it is."""
    write_idx(tmp_path / f"train-{IMAGES}.gz", X[:4])
    write_idx(tmp_path / f"train-{LABELS}.gz", Y[:4])
    write_idx(tmp_path / f"t10k-{IMAGES}", X[4:])
    write_idx(tmp_path / f"t10k-{LABELS}", Y[4:])
    return tmp_path


def test_both_parts_are_read_in_their_order_and_one_is_enough(folder: Path) -> None:
    images, labels = read_folder(folder)
    assert np.array_equal(images, X) and np.array_equal(labels, Y) and labels.dtype == np.int64
    for name in (IMAGES, LABELS):
        (folder / f"train-{name}.gz").unlink()
    assert np.array_equal(read_folder(folder)[0], X[4:])


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        (f"t10k-{IMAGES}", lambda file: file.write_bytes(file.read_bytes()[:-5])),
        (f"train-{IMAGES}.gz", lambda file: file.write_bytes(file.read_bytes()[:-5])),
        (f"t10k-{LABELS}", lambda file: file.write_bytes(b"\1\2\3\4")),
        (f"t10k-{LABELS}", lambda file: file.write_bytes(b"")),
        (f"t10k-{LABELS}", Path.unlink),
        (f"t10k-{LABELS}", lambda file: write_idx(file, X)),  # swapped
        (f"train-{LABELS}.gz", lambda file: write_idx(file, Y[:3])),
        (f"t10k-{IMAGES}", lambda file: write_idx(file, X[4:, :14])),
    ],
)
def test_a_bad_file_is_named(folder: Path, name: str, spoil: Callable[[Path], object]) -> None:
    spoil(folder / name)
    with pytest.raises(PapaError, match=name.removesuffix(".gz")):
        read_folder(folder)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(PapaError, match=f"has no IDX files; it needs train-{IMAGES}"):
        read_folder(tmp_path)
