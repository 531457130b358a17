"""Tasks `mnist` and `fashion_mnist`: 28x28 images, the experiment of PAPA's paper (T = 1000, linear betas).

MNIST's 10,000 test digits are package data, and a model trained on a part of them. Fashion-MNIST cannot be shipped:
`python -m recipes.mnist --task fashion_mnist --data FOLDER` makes its artefacts from the four IDX files.
"""

from __future__ import annotations

from papa.benchmark.tasks.declaration import TaskDeclaration
from papa.models.settings import SamplingSettings


class MnistSettings(SamplingSettings):
    """28x28 images of ten classes."""


USES = (
    "papa.benchmark.tasks.labelled",
    "papa.benchmark.tasks.images",
    "papa.benchmark.tasks.idx",
    "papa.models.unet",
)
MNIST = TaskDeclaration(
    MnistSettings,
    "papa.benchmark.tasks.mnist.task:Mnist",
    users={
        "likes-1479": {"kind": "classes", "classes": [1, 4, 7, 9]},
        "likes-3": {"kind": "classes", "classes": [3]},
        "likes-thick": {"kind": "strokes"},
    },
    offers=frozenset({"classes", "ink"}),
    artefacts="mnist",
    recipe="recipes.mnist",
    uses=USES,
)
FASHION_MNIST = TaskDeclaration(
    MnistSettings,
    "papa.benchmark.tasks.mnist.task:FashionMnist",
    users={
        "likes-579": {"kind": "classes", "classes": [5, 7, 9]},  # sandal, sneaker, boot
        "likes-246": {"kind": "classes", "classes": [2, 4, 6]},  # pullover, coat, shirt: hard to tell apart
    },
    offers=frozenset({"classes"}),
    artefacts="fashion_mnist",
    recipe="recipes.mnist --task fashion_mnist --data FOLDER",
    uses=USES,
)
