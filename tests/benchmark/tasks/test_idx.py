"""IDX files: what is written is read again, and each sort of bad file has an error that names it."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from papa.benchmark.tasks.idx import IMAGES, LABELS, read_folder, write
from papa.errors import PapaError
from papa.rng import Stream

PICTURES = (Stream(0).uniform(7, 28, 28) * 256).astype(np.uint8)
CLASSES = np.arange(7, dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The training part gzipped, the test part as it is."""
    write(tmp_path / f"train-{IMAGES}.gz", PICTURES[:4])
    write(tmp_path / f"train-{LABELS}.gz", CLASSES[:4])
    write(tmp_path / f"t10k-{IMAGES}", PICTURES[4:])
    write(tmp_path / f"t10k-{LABELS}", CLASSES[4:])
    return tmp_path


def test_both_parts_are_read_in_their_order(folder: Path) -> None:
    images, labels = read_folder(folder)
    assert np.array_equal(images, PICTURES) and np.array_equal(labels, CLASSES) and labels.dtype == np.int64


def test_one_part_is_enough(folder: Path) -> None:
    for name in (IMAGES, LABELS):
        (folder / f"train-{name}.gz").unlink()
    assert np.array_equal(read_folder(folder)[0], PICTURES[4:])


def test_the_format_is_lecuns(folder: Path) -> None:
    data = (folder / f"t10k-{IMAGES}").read_bytes()
    assert data[:16].hex() == "00000803" + "00000003" + "0000001c" + "0000001c" and len(data) == 16 + 3 * 784
    assert gzip.decompress((folder / f"train-{LABELS}.gz").read_bytes())[:8].hex() == "0000080100000004"


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def shuffled_head(file: Path) -> None:
    file.write_bytes(b"\1\2\3\4" + file.read_bytes()[4:])


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        (f"t10k-{IMAGES}", cut, r"t10k-images.* has 2363 bytes, and its head says 2368; it is cut or damaged"),
        (f"train-{IMAGES}.gz", cut, r"train-images.*gz is damaged or was not fetched to its end"),
        (f"t10k-{LABELS}", shuffled_head, r"t10k-labels.* is no IDX file of bytes \(it begins with 01020304\)"),
        (f"t10k-{LABELS}", lambda file: file.write_bytes(b""), r"it begins with nothing"),
        (f"t10k-{IMAGES}", lambda file: file.write_bytes(file.read_bytes()[:10]), r"cut or damaged"),
        (f"t10k-{LABELS}", Path.unlink, r"t10k-images.* is there and t10k-labels-idx1-ubyte is not"),
        (f"train-{LABELS}.gz", lambda file: write(file, CLASSES[:3]), r"4 images and .*train-labels.* 3 labels"),
        (f"t10k-{IMAGES}", lambda file: write(file, PICTURES[4:, :14]), r"have 2 sizes"),
    ],
)
def test_bad_files(folder: Path, name: str, spoil: Callable[[Path], object], said: str) -> None:
    spoil(folder / name)
    with pytest.raises(PapaError, match=said):
        read_folder(folder)


def test_swapped_files(folder: Path) -> None:
    images, labels, other = folder / f"t10k-{IMAGES}", folder / f"t10k-{LABELS}", folder / "other"
    for old, new in ((images, other), (labels, images), (other, labels)):
        old.rename(new)
    with pytest.raises(PapaError, match=r"t10k-images.* holds labels, not images: are the files .* swapped"):
        read_folder(folder)


def test_an_unpacked_name_on_a_packed_file(folder: Path) -> None:
    (folder / f"t10k-{IMAGES}").write_bytes((folder / f"train-{IMAGES}.gz").read_bytes())
    with pytest.raises(PapaError, match=r"unpack it, or name it \.gz"):
        read_folder(folder)


def test_a_file_that_may_not_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(PapaError, match=r"cannot be read: Permission denied. Give permission"):
        read_folder(folder)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(PapaError, match=re.escape(f"{tmp_path} has no IDX files; it needs train-{IMAGES}")):
        read_folder(tmp_path)
