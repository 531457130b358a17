"""Settings of the surrogate reward; the network is in `network.py`. Imports no torch."""

from __future__ import annotations

from papa.settings import Fraction, Positive, Rate, Settings


class SurrogateSettings(Settings):
    """The surrogate reward: Conv2d - ReLU - AdaptiveAvgPool2d - MLP, fitted by MSE (FKC document)."""

    channels: Positive = 128
    """Convolution channels."""
    lr: Rate = 1e-3
    """Adam's learning rate."""
    batch: Positive = 32
    """Items per step."""
    epochs: Positive = 200
    """Passes over all labels at every round, at most."""
    within: Fraction = 0.2
    """A fit ends after a pass in which no answer was missed by more than this; 0: never early, as in the FKC document.
    What is fitted already needs few passes in the next round."""
