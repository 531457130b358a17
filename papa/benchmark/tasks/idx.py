"""Labelled images in the IDX files of MNIST and Fashion-MNIST, read with errors that name the file.

A folder holds two pairs of files, `train-images-idx3-ubyte` with `train-labels-idx1-ubyte` and the same of `t10k`,
each as it is or gzipped (`.gz`); one pair is enough.

Format: four bytes, 0, 0, the type (8: unsigned bytes) and the number of dimensions; each dimension as a big-endian
32-bit number; the bytes. Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from papa.errors import PapaError
from papa.files import write_atomic

PARTS = ("train", "t10k")
IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
BYTES = 8
"""The type: unsigned bytes."""
KINDS = {1: "labels", 3: "images"}
"""Dimensions -> what such a file holds."""


def read_folder(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of files that are there, the training part first.

    Returns: (n, H, W) uint8 images and (n,) int64 labels.
    Raises:  PapaError for a file that is missing, cannot be read, is damaged or holds something else, and for images
             and labels that do not belong together.
    """
    found = [pair for part in PARTS if (pair := _pair(folder, part))]
    if not found:
        raise PapaError(
            f"{folder} has no IDX files; it needs {PARTS[0]}-{IMAGES} and {PARTS[0]}-{LABELS}, or the same of "
            f"{PARTS[1]}, gzipped or not."
        )
    shapes = {images.shape[1:] for images, _ in found}
    if len(shapes) > 1:
        raise PapaError(f"the images of {folder} have {len(shapes)} sizes; put files of one dataset in a folder.")
    images, labels = (np.concatenate(of) for of in zip(*found, strict=True))
    return images, labels


def _pair(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Images and labels of a part; None where neither is there."""
    files = [_found(folder, f"{part}-{name}") for name in (IMAGES, LABELS)]
    if files == [None, None]:
        return None
    image_file, label_file = files
    if image_file is None or label_file is None:
        there = image_file or label_file
        missing = f"{part}-{IMAGES if image_file is None else LABELS}"
        raise PapaError(f"{there} is there and {missing} is not; put both in {folder}.")
    images, labels = read(image_file, 3), read(label_file, 1)
    if len(images) != len(labels):
        raise PapaError(
            f"{image_file} has {len(images)} images and {label_file} {len(labels)} labels; fetch both again, from one "
            "place."
        )
    return images, labels.astype(np.int64)


def _found(folder: Path, name: str) -> Path | None:
    return next((file for file in (folder / name, folder / f"{name}.gz") if file.exists()), None)


def read(file: Path, dimensions: int) -> np.ndarray:
    """An IDX file of unsigned bytes.

    Args:    dimensions: 3 for images, 1 for labels.
    Raises:  PapaError that names the file, for one that cannot be read, is damaged or holds something else.
    """
    try:
        raw = file.read_bytes()
        data = gzip.decompress(raw) if file.suffix == ".gz" else raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise PapaError(f"{file} is damaged or was not fetched to its end ({error}); fetch it again.") from error
    except OSError as error:
        raise PapaError(f"{file} cannot be read: {error.strerror or error}. Give permission to read it.") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != BYTES or data[3] not in KINDS:
        hint = "; unpack it, or name it .gz" if data[:2] == b"\x1f\x8b" else ""
        raise PapaError(f"{file} is no IDX file of bytes (it begins with {data[:4].hex() or 'nothing'}){hint}.")
    if data[3] != dimensions:
        raise PapaError(
            f"{file} holds {KINDS[data[3]]}, not {KINDS[dimensions]}: are the files of images and of labels swapped?"
        )
    start = 4 + 4 * dimensions
    shape = tuple(int.from_bytes(data[place : place + 4], "big") for place in range(4, start, 4))
    if len(data) != start + math.prod(shape):
        raise PapaError(
            f"{file} has {len(data)} bytes, and its head says {start + math.prod(shape)}; it is cut or damaged, fetch "
            "it again."
        )
    return np.frombuffer(data[start:], dtype=np.uint8).reshape(shape)


def write(file: Path, array: np.ndarray) -> None:
    """Write (n, H, W) images or (n,) labels, uint8, gzipped where the name ends so; always the same bytes.

    Raises:  PapaError where the file cannot be written.
    """
    head = bytes([0, 0, BYTES, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
    data = head + np.ascontiguousarray(array, dtype=np.uint8).tobytes()
    write_atomic(file, gzip.compress(data, 9, mtime=0) if file.suffix == ".gz" else data)
