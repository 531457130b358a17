"""MNIST and Fashion-MNIST: one class for both, which differ in their data alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.tasks.artefacts import folder
from papa.benchmark.tasks.idx import read_folder
from papa.benchmark.tasks.labelled import LabelledPictures, SmallClassifier
from papa.benchmark.tasks.mnist import MnistSettings
from papa.benchmark.tasks.mnist.gradients import oriented_gradients
from papa.errors import PapaError

SIDE = 28


@cache
def pictures(home: Path) -> tuple[Tensor, np.ndarray]:
    """All (n, 1, 28, 28) images of a folder of IDX files in [-1, 1] and their (n,) labels.

    Raises:  PapaError for files that are missing or damaged, or of another size or number of classes.
    """
    images, labels = read_folder(home)
    if images.shape[1:] != (SIDE, SIDE) or labels.max() > 9:
        raise PapaError(
            f"{home} has images of {images.shape[1]} x {images.shape[2]} in classes up to {labels.max()}; {SIDE} x "
            f"{SIDE} in classes 0 to 9 are needed."
        )
    return torch.from_numpy(images)[:, None].float() / 127.5 - 1, labels


class HeldOutJudge:
    """A support vector machine on the gradients of part B and of its copies moved by one pixel: another family of
    classifier, trained on other images than the gold judge. It is fitted where it is used.

    Cells, copies and number of components were chosen by cross-validation on part B. That gradients beat pixels had
    been seen on part C as well, for three variants.
    """

    COMPONENTS = 100

    def __init__(self, images: Tensor, labels: np.ndarray) -> None:
        from sklearn.decomposition import PCA
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import SVC

        moved = [images, *(torch.roll(images, by, (2, 3)) for by in ((0, 1), (0, -1), (1, 0), (-1, 0)))]
        features = self._features(torch.cat(moved))
        components = min(self.COMPONENTS, *features.shape)
        self.machine = make_pipeline(PCA(components, random_state=0), SVC(C=10.0)).fit(features, np.tile(labels, 5))

    @staticmethod
    def _features(images: Tensor) -> np.ndarray:
        return oriented_gradients(images.cpu()).numpy()

    def probabilities(self, images: Tensor) -> np.ndarray:
        """One-hot decisions: this judge gives no probabilities in between."""
        return np.eye(10)[self.machine.predict(self._features(images))]


class Mnist(LabelledPictures[MnistSettings]):
    """28x28 handwritten digits; the latent is the image."""

    name = "mnist"
    held_out = staticmethod(HeldOutJudge)

    @staticmethod
    def new_gold() -> SmallClassifier:
        return SmallClassifier(SIDE, width=16, features=64)

    @staticmethod
    def new_features() -> SmallClassifier:
        return SmallClassifier(SIDE, width=12, features=32)

    def real(self) -> tuple[Tensor, np.ndarray]:
        return pictures(folder(self.name))


class FashionMnist(Mnist):
    """28x28 pictures of clothes."""

    name = "fashion_mnist"
