"""Histograms of oriented gradients (Dalal & Triggs 2005): which way strokes run, and how strongly, cell by cell."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

ORIENTATIONS = 8
CELL = 4


def oriented_gradients(images: Tensor) -> Tensor:
    """(n, 1, H, W) images -> (n, 8 H/4 W/4) features, 0 and more.

    A pixel's gradient is shared by the two of eight directions between which it points (over the whole circle, for a
    stroke's two sides differ), and averaged over squares of 8 pixels, 4 apart. Of that the square root, so that one
    strong edge does not outweigh the rest.
    """
    framed = pad(images, (1, 1, 1, 1), mode="replicate")
    across = framed[:, :, 1:-1, 2:] - framed[:, :, 1:-1, :-2]
    down = framed[:, :, 2:, 1:-1] - framed[:, :, :-2, 1:-1]
    direction = torch.atan2(down, across) * (ORIENTATIONS / (2 * math.pi))
    bins = torch.arange(ORIENTATIONS, device=images.device).view(1, -1, 1, 1)
    away = (direction - bins + ORIENTATIONS / 2) % ORIENTATIONS - ORIENTATIONS / 2
    shares = (1 - away.abs()).clamp(min=0) * torch.hypot(across, down)
    return avg_pool2d(shares, 2 * CELL, CELL, padding=CELL // 2).sqrt().flatten(1)
