"""Images as tensors, and small classifiers as judges and features."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

CHUNK = 512
"""Images of one forward pass of a small classifier."""


def to_range(images: np.ndarray) -> Tensor:
    """(n, H, W, 3) uint8 -> (n, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


class Classifier(nn.Module):
    """A classifier with a bottleneck. `body`: images -> (n, features); `head`: features -> (n, classes) logits."""

    body: nn.Sequential
    head: nn.Linear

    def embed(self, images: Tensor) -> Tensor:
        """(n, features) in the bottleneck."""
        return self.body(images)

    def forward(self, images: Tensor) -> Tensor:
        """(n, classes) logits."""
        return self.head(torch.relu(self.body(images)))


C = TypeVar("C", bound=Classifier)


def load_classifier(net: C, file: Path, device: str) -> C:
    """`net` with the weights of a file, in float32, frozen."""
    net.load_state_dict({name: weight.float() for name, weight in load_file(file).items()})
    return net.eval().requires_grad_(False).to(device)


class ClassifierJudge:
    """A classifier as a judge."""

    def __init__(self, net: Classifier) -> None:
        self.net = net

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> np.ndarray:
        """(n, classes) float64."""
        return torch.cat([self.net(part).softmax(1) for part in images.split(CHUNK)]).double().cpu().numpy()


class StandardizedFeatures(nn.Module):
    """The (n, features) of a classifier that FID, KID, Vendi and coverage compare.

    Standardized on real images: KID's cubic kernel is noise on features of any other scale.
    """

    def __init__(self, net: Classifier, real: Tensor) -> None:
        super().__init__()
        self.net, self.dim = net, net.head.in_features
        with torch.no_grad():
            self.deviation, self.mean = torch.std_mean(net.embed(real), 0)

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([(self.net.embed(part) - self.mean) / self.deviation for part in images.split(CHUNK)])
