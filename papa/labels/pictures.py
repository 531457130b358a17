"""One picture, from the bytes of its file to 8-bit RGB: what is converted, and what is refused.

`docs/labels.md` lists both. Nothing here opens a file: whoever has the bytes says where they are from.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from papa.errors import LabelsError

LARGEST = 8192
"""Pixels that a side may have. Pillow's own limit, 89 million pixels in all, lies above two such sides."""
SMALLEST = 8
"""Pixels that a side has at least."""
PLAIN = frozenset({"1", "L", "P", "RGB", "YCbCr", "HSV"})
"""Modes that Pillow converts to RGB without a choice to be made."""
SIXTEEN = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
"""Modes of grey pictures of 16 bits."""

ANIMATED, ALPHA, DEEP, INK, TURNED, ENLARGED = (
    "have several frames or pages, and the first is taken",
    "have transparent parts, which are put on white",
    "are grey of 16 bits, of which 8 are kept",
    "are in CMYK, converted without a colour profile",
    "were turned upright, as their EXIF says",
    "are smaller than the model's, and enlarged",
)
"""What may be done to a picture, as a note says it of several."""


@dataclass(frozen=True)
class Picture:
    """A picture that was read.

    pixels: (H, W, 3) uint8. size: (height, width) that it had, upright. digest: sha256 of its file, in hex. notes: what
    was done to it.
    """

    place: str
    pixels: np.ndarray
    size: tuple[int, int]
    digest: str
    notes: tuple[str, ...]


def picture_of(data: bytes, place: str, size: tuple[int, int] | None = None) -> Picture:
    """Decode a picture.

    Args:    data: the content of its file. place: what an error calls it. size: (height, width) that it is fitted to:
             the largest part of that shape around the centre is cut out and resized (bicubic, with antialiasing), which
             is the same as to resize the shorter side and to cut the longer one. None leaves it as it is.
    Raises:  LabelsError for bytes that are no picture, for a broken one, and for one that is too small, too large
             or in a mode that is not converted.
    """
    if not data:
        raise LabelsError(f"{place} is empty; delete it, or put the picture there again.")
    notes: list[str] = []
    with warnings.catch_warnings():  # Pillow warns of what is refused here, and of metadata that is not read
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data)) as opened:
                _refuse_sizes(opened.size, place)
                image = _upright(opened, notes)
                rgb = _rgb(image, place, notes)
        except (LabelsError, MemoryError):
            raise
        except UnidentifiedImageError:
            raise LabelsError(
                f"{place} is no picture that Pillow reads, or a broken one; delete it, or save it as PNG or JPEG."
            ) from None
        except Image.DecompressionBombError as error:
            raise LabelsError(f"{place} is too large ({error}); {_LIMIT}") from None
        except Exception as error:  # what a broken file makes Pillow raise depends on its format
            raise LabelsError(f"{place} is broken ({error or type(error).__name__}); save it again.") from error
    height, width = rgb.height, rgb.width
    if size is not None and (height, width) != size:
        if height < size[0] or width < size[1]:
            notes.append(ENLARGED)
        rgb = ImageOps.fit(rgb, (size[1], size[0]), method=Image.Resampling.BICUBIC)
    return Picture(place, np.asarray(rgb), (height, width), hashlib.sha256(data).hexdigest(), tuple(notes))


_LIMIT = (
    f"a side may have {LARGEST} pixels at most, so that no small file unpacks to gigabytes (a decompression bomb). "
    "Make it smaller."
)


def _refuse_sizes(size: tuple[int, int], place: str) -> None:
    """Refuse a size before anything of that size is unpacked."""
    width, height = size
    if max(size) > LARGEST:
        raise LabelsError(f"{place} is {width} x {height} pixels; {_LIMIT}")
    if min(size) < SMALLEST:
        raise LabelsError(f"{place} is {width} x {height} pixels; a side needs {SMALLEST} at least. Leave it out.")


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    """The first frame, turned as its EXIF says."""
    if getattr(image, "is_animated", False):
        image.seek(0)
        notes.append(ANIMATED)
    image.load()
    turned = ImageOps.exif_transpose(image)
    if image.getexif().get(0x0112, 1) in range(2, 9):
        notes.append(TURNED)
    return turned


def _rgb(image: Image.Image, place: str, notes: list[str]) -> Image.Image:
    """The same picture in 8-bit RGB.

    Raises:  LabelsError for a mode that is not converted.
    """
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        if clear.getextrema()[3][0] < 255:  # type: ignore[index]
            notes.append(ALPHA)
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    if image.mode in SIXTEEN:
        values: Any = np.asarray(image).astype(np.float64)
        if values.min() < 0 or values.max() > 65535:
            raise LabelsError(f"{place} has grey levels beyond 16 bits; save it with 8 or 16 bits.")
        notes.append(DEEP)
        return Image.fromarray(np.round(values / 257).astype(np.uint8)).convert("RGB")
    if image.mode == "CMYK":
        notes.append(INK)
        return image.convert("RGB")
    if image.mode not in PLAIN:
        raise LabelsError(f"{place} has the colour mode {image.mode}, which is not converted; save it as 8-bit RGB.")
    return image.convert("RGB")
