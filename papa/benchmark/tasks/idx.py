"""Labelled images in the IDX files of MNIST and Fashion-MNIST; errors name the file.

A folder holds `train-images-idx3-ubyte` with `train-labels-idx1-ubyte`, or the same of `t10k`, or both, gzipped (`.gz`)
or not. Format: bytes 0, 0, 8 (unsigned bytes), number of dimensions; each dimension as a big-endian 32-bit number; the
data. Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from papa.errors import PapaError

PARTS = ("train", "t10k")
IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"


def read_folder(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """All splits in a folder, the training split first.

    Returns:
        (n, H, W) uint8 images and (n,) int64 labels.

    Raises:
        PapaError: for a file that is missing or damaged, or images and labels that do not belong together.
    """
    parts = [part for part in PARTS if any(map(Path.exists, _files(folder, f"{part}-{IMAGES}")))]
    if not parts:
        raise PapaError(f"{folder} has no IDX files; it needs {PARTS[0]}-{IMAGES} and {PARTS[0]}-{LABELS}, or .gz.")
    images = [_read(folder, f"{part}-{IMAGES}", 3) for part in parts]
    labels = [_read(folder, f"{part}-{LABELS}", 1) for part in parts]
    for part, x, y in zip(parts, images, labels, strict=True):
        if len(x) != len(y) or x.shape[1:] != images[0].shape[1:]:
            raise PapaError(
                f"{folder}: {part}-{IMAGES} has {len(x)} images of {x.shape[1:]} and {part}-{LABELS} {len(y)} labels; "
                "get the files again from one place."
            )
    return np.concatenate(images), np.concatenate(labels).astype(np.int64)


def _files(folder: Path, name: str) -> list[Path]:
    return [folder / name, folder / f"{name}.gz"]


def _read(folder: Path, name: str, dimensions: int) -> np.ndarray:
    file = next(filter(Path.exists, _files(folder, name)), folder / name)
    try:
        data = file.read_bytes()
        data = gzip.decompress(data) if file.suffix == ".gz" else data
    except (EOFError, OSError, zlib.error) as error:
        raise PapaError(f"{file} cannot be read ({error}); get it again, or give permission to read it.") from error
    start = 4 + 4 * dimensions
    if data[:4] != bytes([0, 0, 8, dimensions]) or len(data) < start:
        raise PapaError(f"{file} is no IDX file of bytes with {dimensions} dimensions; are two files swapped?")
    shape = np.frombuffer(data[4:start], ">u4").tolist()
    if len(data) != start + math.prod(shape):
        raise PapaError(f"{file} has {len(data)} bytes instead of {start + math.prod(shape)}; get it again.")
    return np.frombuffer(data[start:], dtype=np.uint8).reshape(shape)
