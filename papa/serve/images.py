"""Images as PNG files."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from torch import Tensor

from papa.errors import ModelError
from papa.models.interface import Model


def pngs(model: Model, images: Tensor) -> list[bytes]:
    """(n, C, H, W) images in [-1, 1], C = 1 or 3 -> n PNG files.

    Raises:
        ModelError: for a model whose items are not images.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ModelError("this model does not generate images, so the page cannot show them; use `papa.Session`.")
    return [_png(np.repeat(item, 3 // len(item), axis=0).transpose(1, 2, 0)) for item in model.pack(images)]


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, format="PNG")
    return buffer.getvalue()
