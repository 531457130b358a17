"""The small classifiers of the `fruits` task: the attribute judge and the feature network of FID."""

from __future__ import annotations

from torch import nn

from papa.benchmark.tasks.fruits.render import CONCEPTS
from papa.benchmark.tasks.images import Classifier


def block(inside: int, outside: int) -> nn.Sequential:
    """Halve the picture."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1),
        nn.GroupNorm(1, outside),
        nn.SiLU(),
        nn.Conv2d(outside, outside, 3, padding=1, stride=2),
        nn.SiLU(),
    )


class AttributeClassifier(Classifier):
    """Three convolutional blocks and a bottleneck of `features` dimensions.

    Input (n, 3, 32, 32) in [-1, 1]; output (n, 28) logits over `CONCEPTS`.
    """

    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            block(3, width),
            block(width, 2 * width),
            block(2 * width, 3 * width),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(3 * width * 16, features),
        )
        self.head = nn.Linear(features, len(CONCEPTS))


def attribute_judge() -> AttributeClassifier:
    return AttributeClassifier(width=16, features=64)


def hasty_judge() -> AttributeClassifier:
    return AttributeClassifier(width=8, features=16)


def feature_network() -> AttributeClassifier:
    return AttributeClassifier(width=12, features=32)
