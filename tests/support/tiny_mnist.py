"""`mnist` and `fashion_mnist` without their artefacts: random networks, and pictures whose class can be seen."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.tasks import declaration
from papa.benchmark.tasks.images import Classifier
from papa.benchmark.tasks.mnist import MnistSettings
from papa.benchmark.tasks.mnist.task import SIDE, Mnist
from papa.models.unet import UNetModel
from papa.rng import Stream
from recipes.mnist import new_scheduler
from support.nets import small_unet


def drawn(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(count, 28, 28) uint8 images and their labels: a bright square whose place is the class, on noise."""
    labels = np.arange(count, dtype=np.uint8) % 10
    images = (Stream(seed).generator().random((count, SIDE, SIDE)) * 40).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        top, left = divmod(int(label), 4)
        image[3 + 8 * top : 9 + 8 * top, 2 + 6 * left : 8 + 6 * left] = 220
    return images, labels


def write_idx(file: Path, array: np.ndarray) -> None:
    """Write (n, H, W) images or (n,) labels, uint8, gzipped if the name ends in .gz."""
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
    data = head + np.ascontiguousarray(array, dtype=np.uint8).tobytes()
    file.write_bytes(gzip.compress(data, 9, mtime=0) if file.suffix == ".gz" else data)


class Untrained(Mnist):
    """The task with networks of a fixed seed that nothing trained."""

    def load_model(self) -> UNetModel:
        self.card = {
            "ink": {"mean": 0.1, "std": 0.05},
            "splits": {part: range(i, 90, 3) for i, part in enumerate("ABC")},
        }
        unet: Any = small_unet(
            sample_size=SIDE,
            block_out_channels=(8, 8),
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
        )
        return UNetModel(unet, new_scheduler(), self.settings)

    def gold_network(self) -> Classifier:
        with Stream(1).at("tiny").seeding_torch():
            return self.new_gold().eval().requires_grad_(False)

    def real(self) -> tuple[Tensor, np.ndarray]:
        images, labels = drawn(90)
        return torch.from_numpy(images)[:, None].float() / 127.5 - 1, labels


@cache
def task(name: str) -> Mnist:
    """A registered task with three sampling steps. Tests change nothing in it."""
    of: Any = declaration(name).load()
    return type("Untrained", (Untrained, of), {"name": name})(MnistSettings(steps=3))
