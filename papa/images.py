"""Pictures side by side, for a person to look at."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

GAP, GROUND = 2, 255
"""Pixels between two pictures, and their grey level."""
LEAST = 64
"""Pixels that a side of a picture has at least when it is shown; small ones are enlarged by whole factors."""


def grid(images: np.ndarray, columns: int | None = None) -> Image.Image:
    """Pictures in rows, in their order.

    Args:    images: (n, 1 or 3, H, W) uint8. columns: pictures of a row; by default as many as make it about square.
    Raises:  ValueError for something else than pictures.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.dtype != np.uint8 or not len(images):
        raise ValueError(f"expected (n, 1 or 3, H, W) pictures of uint8, got {images.dtype} of shape {images.shape}")
    n, _, height, width = images.shape
    times = math.ceil(LEAST / min(height, width))
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    large = images.repeat(times, 2).repeat(times, 3).transpose(0, 2, 3, 1)
    step_y, step_x = times * height + GAP, times * width + GAP
    whole = np.full((rows * step_y - GAP, columns * step_x - GAP, 3), GROUND, dtype=np.uint8)
    for i, picture in enumerate(large):
        y, x = step_y * (i // columns), step_x * (i % columns)
        whole[y : y + times * height, x : x + times * width] = picture
    return Image.fromarray(whole)
