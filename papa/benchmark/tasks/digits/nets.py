"""The small classifiers of the `digits` task: the gold judge and the feature network of FID."""

from __future__ import annotations

from torch import nn

from papa.benchmark.tasks.images import Classifier

SHAPE = (1, 8, 8)
CLASSES = 10


class DigitClassifier(Classifier):
    """Two convolutions, a pooled grid, and a bottleneck of `features` dimensions.

    Input (n, 1, 8, 8) in [-1, 1]; output (n, 10) logits.
    """

    def __init__(self, width: int, features: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(8 * width, features),
        )
        self.head = nn.Linear(features, CLASSES)


def gold_judge() -> DigitClassifier:
    return DigitClassifier(width=24, features=64)


def feature_network() -> DigitClassifier:
    return DigitClassifier(width=16, features=24)
