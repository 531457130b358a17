"""MNIST and Fashion-MNIST, which differ in their data only."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from papa.benchmark.tasks.artefacts import folder
from papa.benchmark.tasks.idx import read_folder
from papa.benchmark.tasks.labelled import FittedJudge, LabelledImages
from papa.errors import PapaError

SIDE = 28
ORIENTATIONS, CELL = 8, 4


@cache
def real_images(home: Path) -> tuple[Tensor, np.ndarray]:
    """All (n, 1, 28, 28) images of a folder of IDX files in [-1, 1] and their (n,) labels.

    Raises:
        PapaError: for files that are missing or damaged, or of another size or number of classes.
    """
    images, labels = read_folder(home)
    if images.shape[1:] != (SIDE, SIDE) or labels.max() > 9:
        raise PapaError(
            f"{home} has images of {images.shape[1]} x {images.shape[2]} in classes up to {labels.max()}; {SIDE} x "
            f"{SIDE} in classes 0 to 9 are needed."
        )
    return torch.from_numpy(images)[:, None].float() / 127.5 - 1, labels


def oriented_gradients(images: Tensor) -> Tensor:
    """Histograms of oriented gradients (Dalal & Triggs 2005).

    A pixel's gradient is shared between the two nearest of eight directions (over the whole circle, since the two sides
    of a stroke differ) and averaged over squares of 8 pixels, 4 apart. The square root keeps one strong edge from
    outweighing the rest.

    Args:
        images: (n, 1, H, W).

    Returns:
        (n, 8 H/4 W/4) features >= 0.
    """
    framed = pad(images, (1, 1, 1, 1), mode="replicate")
    across = framed[:, :, 1:-1, 2:] - framed[:, :, 1:-1, :-2]
    down = framed[:, :, 2:, 1:-1] - framed[:, :, :-2, 1:-1]
    direction = torch.atan2(down, across) * (ORIENTATIONS / (2 * math.pi))
    bins = torch.arange(ORIENTATIONS, device=images.device).view(1, -1, 1, 1)
    away = (direction - bins + ORIENTATIONS / 2) % ORIENTATIONS - ORIENTATIONS / 2
    shares = (1 - away.abs()).clamp(min=0) * torch.hypot(across, down)
    return avg_pool2d(shares, 2 * CELL, CELL, padding=CELL // 2).sqrt().flatten(1)


class Mnist(LabelledImages):
    """28x28 handwritten digits; the latent is the image."""

    name, side, gold_size, features_size = "mnist", SIDE, (16, 64), (12, 32)

    @staticmethod
    def held_out(images: Tensor, labels: np.ndarray) -> FittedJudge:
        """A support vector machine on the gradients of images and of copies moved by one pixel.

        Cells, copies and number of components were chosen by cross-validation on part B; three variants of gradients
        were also compared with pixels on part C.
        """
        from sklearn.decomposition import PCA
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import SVC

        moved = torch.cat([images, *(torch.roll(images, by, (2, 3)) for by in ((0, 1), (0, -1), (1, 0), (-1, 0)))])
        components = min(100, len(moved), ORIENTATIONS * (SIDE // CELL) ** 2)
        machine = make_pipeline(PCA(components, random_state=0), SVC(C=10.0))
        return FittedJudge(machine, lambda x: oriented_gradients(x.cpu()).numpy(), moved, np.tile(labels, 5))

    def real(self) -> tuple[Tensor, np.ndarray]:
        return real_images(folder(self.name))


class FashionMnist(Mnist):
    """28x28 images of clothes."""

    name = "fashion_mnist"
