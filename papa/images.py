"""Images: from a file's bytes to RGB, from a model's tensors to PNG files, and side by side for viewing.

A model's images are tensors in [-1, 1]:

    papa.save_images(session.sample(16), "samples/")
"""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from papa.files import cannot_write

if TYPE_CHECKING:
    from torch import Tensor

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM")
"""Formats that are decoded. The others are not tried: for PostScript, Pillow would start Ghostscript."""
GAP, BACKGROUND = 2, 255
"""Of a grid: pixels between two images, and the grey level there."""
SHOWN_SIDE = 64
"""Of a grid: smaller images are enlarged by a whole factor until their shorter side has this many pixels."""


def decode(data: bytes) -> Image.Image:
    """Decode an image file to 8-bit RGB.

    The first frame is turned upright by its EXIF orientation and put on white where it is transparent; 16-bit grey
    levels are scaled to 8 bits.

    Raises:
        ValueError: for anything but an intact image in one of `FORMATS`, within Pillow's limit of size.
    """
    Image.init()
    known = [name for name in FORMATS if name in Image.OPEN]  # AVIF depends on Pillow's version
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata that is not read
        try:
            with Image.open(io.BytesIO(data), formats=known) as image:
                image.load()
                return _rgb(ImageOps.exif_transpose(image))
        except Exception as error:  # what a broken file makes Pillow raise depends on its format
            if isinstance(error, UnidentifiedImageError):
                raise ValueError(f"not an image in one of the formats {', '.join(known)}") from error
            raise ValueError(f"broken image ({error or type(error).__name__})") from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype(np.float64)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError("grey levels beyond 16 bits")
        return Image.fromarray(np.round(levels / 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point grey levels")
    return image.convert("RGB")


def to_pil(images: Tensor) -> list[Image.Image]:
    """(n, 1 or 3, H, W) images in [-1, 1] as PIL images."""
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"expected images of shape (n, 1 or 3, H, W), got {tuple(images.shape)}")
    levels = ((images.detach().float().clamp(-1, 1) + 1) * 127.5).round().byte().cpu().numpy()
    return [
        Image.fromarray(one.transpose(1, 2, 0).squeeze(-1) if len(one) == 1 else one.transpose(1, 2, 0))
        for one in levels
    ]


def save_images(images: Tensor, folder: str | Path) -> list[Path]:
    """Write (n, 1 or 3, H, W) images in [-1, 1] as PNG files `000.png`, `001.png`, ... into a folder, made if missing.

    Returns:
        The files, in order; files of the same names are replaced.

    Raises:
        PapaError: where the folder cannot be written.
    """
    found = [(Path(folder) / f"{index:03d}.png", image) for index, image in enumerate(to_pil(images))]
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for file, image in found:
            image.save(file)
    except OSError as error:
        raise cannot_write(Path(folder), error, "then save the images again") from error
    return [file for file, _ in found]


def grid(images: Tensor, columns: int | None = None) -> Image.Image:
    """(n, 1 or 3, H, W) images in [-1, 1] side by side in rows; by default the grid is about square."""
    n, _, height, width = images.shape if images.ndim == 4 else (0, 0, 0, 0)
    if not n:
        raise ValueError(f"expected at least one image of shape (1 or 3, H, W), got {tuple(images.shape)}")
    factor = math.ceil(SHOWN_SIDE / min(height, width))
    columns = columns or math.ceil(math.sqrt(n))
    step_x, step_y = factor * width + GAP, factor * height + GAP
    whole = Image.new("RGB", (columns * step_x - GAP, math.ceil(n / columns) * step_y - GAP), (BACKGROUND,) * 3)
    for index, image in enumerate(to_pil(images)):
        large = image.resize((factor * width, factor * height), Image.Resampling.NEAREST)
        whole.paste(large, (step_x * (index % columns), step_y * (index // columns)))
    return whole
