"""Images: decoding of files, PNG files of a model's images, and the grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.rated import encoded, pixels

import papa
from papa.benchmark.tasks.digits.task import Digits
from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.errors import PapaError, SessionError
from papa.images import GAP, decode, grid, to_pil


def read(image: Image.Image | np.ndarray, form: str = "PNG", **given: Any) -> np.ndarray:
    return np.asarray(decode(encoded(image, form, **given))).astype(int)


def plain(colour: Any, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (12, 10), colour)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_are_read_as_they_are(form: str) -> None:
    assert np.array_equal(read(pixels(0), form), pixels(0))


@pytest.mark.parametrize("form", ["JPEG", "GIF", "WEBP", "AVIF"])
def test_lossy_formats_are_read_nearly(form: str) -> None:
    assert np.abs(read(plain((200, 100, 50)), form) - (200, 100, 50)).max() <= 6


@pytest.mark.parametrize(("orientation", "turn"), [(3, 2), (6, 3), (8, 1)])
def test_exif_orientation_is_undone(orientation: int, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(read(pixels(0)[:10], exif=exif), np.rot90(pixels(0)[:10], turn))


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (plain((0, 0, 0, 0), "RGBA"), (255, 255, 255)),
        (plain((0, 100, 200, 128), "RGBA"), (127, 177, 227)),
        (plain(7, "L"), (7, 7, 7)),
        (plain(1, "1"), (255, 255, 255)),
    ],
)
def test_modes_become_rgb_on_white(image: Image.Image, colour: tuple[int, ...]) -> None:
    assert np.abs(read(image) - colour).max() <= 1


def test_palettes_cmyk_deep_grey_and_animations() -> None:
    image = plain(0, "P")
    image.putpalette([9, 9, 9, 50, 60, 70])
    image.putpixel((0, 0), 1)
    found = read(image, transparency=0)
    assert tuple(found[0, 0]) == (50, 60, 70) and (found[1:] == 255).all()
    assert (read(plain((255, 0, 0, 0), "CMYK"), "TIFF") == (0, 255, 255)).all()
    levels = np.linspace(0, 65535, 160).astype(np.uint16).reshape(10, 16)
    for form in ("PNG", "TIFF"):
        assert np.array_equal(read(levels, form)[..., 0], np.round(levels / 257))
    frames = [plain((250, 0, 0)), plain((0, 0, 250))]
    assert (read(frames[0], "GIF", save_all=True, append_images=frames[1:]) == (250, 0, 0)).all()


@pytest.mark.parametrize(
    "data",
    [
        b"my notes",
        encoded(pixels(0))[:300],
        encoded(pixels(0), "JPEG")[:500],
        encoded(plain(0.5, "F"), "TIFF"),
        encoded(Image.fromarray(np.full((10, 10), 70000, np.int32)), "TIFF"),
        encoded(plain((1, 2, 3)), "EPS"),
    ],
    ids=["text", "half a PNG", "half a JPEG", "floats", "32 bits", "PostScript"],
)
def test_files_that_cannot_be_used_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"image|grey"):
        decode(data)


def test_images_are_saved_as_they_are_seen(tmp_path: Path, digits: Digits) -> None:
    levels = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    saved = papa.save_images(levels / 127.5 - 1, tmp_path / "new" / "samples")
    assert [file.name for file in saved] == ["000.png", "001.png"]
    for file, expected in zip(saved, levels, strict=True):
        assert np.array_equal(np.asarray(Image.open(file)), expected.permute(1, 2, 0))
    grey = papa.save_images(papa.Session(digits.model, "base").sample(1), tmp_path)
    assert Image.open(grey[0]).size == (8, 8)
    (tmp_path / "file").write_text("")
    with pytest.raises(PapaError):
        papa.save_images(levels, tmp_path / "file")
    with pytest.raises(ValueError, match="shape"):
        to_pil(torch.zeros(2, 2))


def test_a_session_shows_its_question_and_then_its_result(digits: Digits, plane: Gmm2d) -> None:
    session = papa.Session(digits.model, "best_of_n", labels=4, per_round=2)
    question = session.ask()
    np.testing.assert_array_equal(np.asarray(session.show()), np.asarray(grid(question.images)))
    session.answer([True, False])
    assert session.show(9).size == (3 * 64 + 2 * GAP,) * 2
    np.testing.assert_array_equal(np.asarray(session.show(4)), np.asarray(grid(session.sample(4))))
    with pytest.raises(SessionError, match="points"):
        papa.Session(plane.model, "fkc").show()


def test_a_grid_has_every_image_in_its_place() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 40), dtype=np.uint8)
    whole = np.asarray(grid(torch.from_numpy(images).float() / 127.5 - 1, columns=2))
    assert whole.shape == (3 * 64 + 2 * GAP, 2 * 80 + GAP, 3)
    for i in range(5):
        y, x = (i // 2) * (64 + GAP), (i % 2) * (80 + GAP)
        np.testing.assert_array_equal(whole[y : y + 64 : 2, x : x + 80 : 2], images[i].transpose(1, 2, 0))
    assert (whole[2 * (64 + GAP) :, 80 + GAP :] == 255).all()
    assert grid(torch.zeros(4, 1, 128, 128)).size == (2 * 128 + GAP, 2 * 128 + GAP)
