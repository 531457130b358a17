"""One picture: what is converted, and what is refused with the name of its file."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.rated import encoded, pixels
from support.refusals import refused

from papa.errors import LabelsError
from papa.labels import pictures
from papa.labels.pictures import Picture, picture_of
from papa.rng import Stream


def read(data: bytes, size: tuple[int, int] | None = None) -> Picture:
    return picture_of(data, "a/b.png", size)


def plain(colour: Any, mode: str = "RGB", size: tuple[int, int] = (12, 10)) -> Image.Image:
    return Image.new(mode, size, colour)


# ---------------------------------------------------------------- what is converted


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM", "TGA"])
def test_a_format_that_loses_nothing_is_read_as_it_is(form: str) -> None:
    found = read(encoded(pixels(0), form))
    assert np.array_equal(found.pixels, pixels(0)) and found.size == (16, 16) and found.notes == ()


@pytest.mark.parametrize("form", ["JPEG", "GIF", "WEBP"])
def test_a_format_that_loses_something_is_read_nearly(form: str) -> None:
    found = read(encoded(plain((200, 100, 50)), form))
    assert np.abs(found.pixels.astype(int) - (200, 100, 50)).max() <= 6 and found.size == (10, 12)


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_is_turned_upright_as_its_exif_says(turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    found = read(encoded(pixels(0)[:10], "PNG", exif=exif))
    undone = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: x.transpose(1, 0, 2)[::-1, ::-1],
        8: lambda x: np.rot90(x, 1),
    }[turn]
    assert np.array_equal(found.pixels, undone(pixels(0)[:10]))
    assert found.notes == (() if turn == 1 else (pictures.TURNED,))


@pytest.mark.parametrize(
    "image",
    [
        plain((0, 0, 0, 0), "RGBA"),
        plain((0, 0), "LA"),
        plain((0, 0, 0, 0), "RGBA").convert("PA"),
    ],
    ids=lambda image: image.mode,
)
def test_what_is_transparent_is_white(image: Image.Image) -> None:
    found = read(encoded(image, "TIFF" if image.mode == "PA" else "PNG"))
    assert (found.pixels == 255).all() and found.notes == (pictures.ALPHA,)


def test_what_is_half_transparent_is_half_white() -> None:
    assert np.abs(read(encoded(plain((0, 100, 200, 128), "RGBA"))).pixels.astype(int) - (127, 177, 227)).max() <= 1


def test_an_alpha_channel_that_hides_nothing_is_not_worth_a_note() -> None:
    found = read(encoded(plain((1, 2, 3, 255), "RGBA")))
    assert (found.pixels == (1, 2, 3)).all() and found.notes == ()


def test_a_palette_with_a_transparent_colour() -> None:
    image = plain(0, "P")
    image.putpalette([9, 9, 9, 50, 60, 70])
    image.putpixel((0, 0), 1)
    found = read(encoded(image, "PNG", transparency=0))
    assert tuple(found.pixels[0, 0]) == (50, 60, 70) and (found.pixels[1:] == 255).all()


@pytest.mark.parametrize(("image", "grey"), [(plain(7, "L"), 7), (plain(1, "1"), 255)], ids=["L", "1"])
def test_grey_becomes_equal_channels(image: Image.Image, grey: int) -> None:
    found = read(encoded(image))
    assert found.pixels.shape == (10, 12, 3) and (found.pixels == grey).all()


def test_sixteen_bits_become_eight_over_the_whole_range() -> None:
    levels = np.linspace(0, 65535, 160).astype(np.uint16).reshape(10, 16)
    for form in ("PNG", "TIFF"):
        found = read(encoded(Image.fromarray(levels), form))
        assert np.array_equal(found.pixels[..., 0], np.round(levels / 257)) and found.notes == (pictures.DEEP,)


def test_grey_levels_beyond_sixteen_bits_are_refused() -> None:
    image = Image.fromarray(np.full((10, 10), 70000, np.int32))
    refused(LabelsError, lambda: read(encoded(image, "TIFF")), "a/b.png", "beyond 16 bits")


def test_cmyk_is_converted_with_a_note() -> None:
    found = read(encoded(plain((255, 0, 0, 0), "CMYK"), "TIFF"))
    assert (found.pixels == (0, 255, 255)).all() and found.notes == (pictures.INK,)


@pytest.mark.parametrize("image", [plain(0.5, "F"), plain((50, 0, 0), "LAB")], ids=["F", "LAB"])
def test_a_colour_mode_that_has_no_one_conversion_is_refused(image: Image.Image) -> None:
    refused(LabelsError, lambda: read(encoded(image, "TIFF")), "a/b.png", f"colour mode {image.mode}", "8-bit RGB")


@pytest.mark.parametrize("form", ["GIF", "PNG", "TIFF", "WEBP"])
def test_of_several_frames_the_first_is_taken(form: str) -> None:
    frames = [plain((250, 0, 0)), plain((0, 0, 250))]
    more: dict[str, Any] = {"lossless": True} if form == "WEBP" else {}
    found = read(encoded(frames[0], form, save_all=True, append_images=frames[1:], **more))
    assert (found.pixels == (250, 0, 0)).all() and found.notes == (pictures.ANIMATED,)


# ---------------------------------------------------------------- fitting


@pytest.mark.parametrize("tall", [False, True])
def test_the_shorter_side_is_resized_and_the_centre_of_the_longer_one_cut_out(tall: bool) -> None:
    wide = (Stream(0).uniform(16, 48, 3) * 255).astype(np.uint8)
    small = np.asarray(Image.fromarray(wide).resize((24, 8), Image.Resampling.BICUBIC))[:, 8:16]
    found = read(encoded(wide.swapaxes(0, 1) if tall else wide), (8, 8))
    pixels = found.pixels.swapaxes(0, 1) if tall else found.pixels
    assert np.abs(pixels.astype(int) - small).max() <= 1 and found.notes == ()
    assert found.size == ((48, 16) if tall else (16, 48))


def test_resizing_smooths_what_is_finer_than_a_pixel() -> None:
    board = np.zeros((64, 64, 3), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 255
    assert np.abs(read(encoded(board), (8, 8)).pixels.astype(int) - 127).max() <= 6


def test_what_has_the_size_stays_as_it_is_and_what_is_smaller_is_noted() -> None:
    assert np.array_equal(read(encoded(pixels(0)), (16, 16)).pixels, pixels(0))
    found = read(encoded(pixels(0)), (32, 24))
    assert found.pixels.shape == (32, 24, 3) and found.notes == (pictures.ENLARGED,)


# ---------------------------------------------------------------- what is refused


def bomb() -> bytes:
    """A PNG of a few bytes whose header says 60,000 x 60,000."""
    data = bytearray(encoded(plain(0, "L", (8, 8))))
    data[16:24] = (60000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


REFUSED: dict[str, tuple[Callable[[], bytes], tuple[str, ...]]] = {
    "empty": (lambda: b"", ("is empty",)),
    "no picture": (lambda: b"my notes", ("no picture that Pillow reads",)),
    "the head alone": (lambda: encoded(pixels(0))[:40], ("is",)),
    "half of a PNG": (lambda: encoded(pixels(0))[:300], ("is broken",)),
    "half of a JPEG": (lambda: encoded(pixels(0), "JPEG")[:500], ("is broken",)),
    "half of a GIF": (lambda: encoded(pixels(0), "GIF")[:600], ("broken",)),
    "1 x 1": (lambda: encoded(plain(0, "RGB", (1, 1))), ("1 x 1 pixels", "8 at least")),
    "a line": (lambda: encoded(plain(0, "RGB", (500, 2))), ("500 x 2 pixels", "8 at least")),
    "10,000 wide": (lambda: encoded(plain(0, "1", (10000, 10))), ("10000 x 10 pixels", "8192", "decompression bomb")),
    "a bomb": (bomb, ("decompression bomb", "8192")),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_used_is_refused_by_name(make: Callable[[], bytes], words: tuple[str, ...]) -> None:
    refused(LabelsError, lambda: read(make()), "a/b.png", *words)


def named(data: bytes) -> bool:
    """Whether a picture is read, or refused by its name: whatever Pillow raises, nothing else comes through."""
    try:
        return read(data).pixels.shape[2] == 3
    except LabelsError as error:
        return "a/b.png" in str(error)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_a_picture_that_is_cut_or_damaged_anywhere_is_read_or_refused_by_name(form: str) -> None:
    whole = encoded(pixels(0), form)
    assert all(named(whole[:length]) for length in range(0, len(whole), max(1, len(whole) // 40)))
    for place in range(0, len(whole), max(1, len(whole) // 80)):
        assert named(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])


def test_no_memory_is_no_broken_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", full)
    with pytest.raises(MemoryError):
        read(encoded(pixels(0)))


def test_the_digest_is_of_the_file() -> None:
    one, other = (encoded(pixels(0), form) for form in ("PNG", "BMP"))
    assert read(one).digest == read(one).digest != read(other).digest
    assert Image.open(io.BytesIO(one)).size == Image.open(io.BytesIO(other)).size
