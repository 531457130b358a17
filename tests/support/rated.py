"""Rated images as files, and a model of tiny images with an exact score."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from papa.models.interface import Model
from papa.rng import Stream

SIDE = 16


def pixels(number: int, light: bool = True, side: int = SIDE) -> np.ndarray:
    """(side, side, 3) uint8 noise, light or dark, different for each number."""
    noise = Stream(number).at("rated").uniform(side, side, 3)
    return (noise * 100 + 150 * light).astype(np.uint8)


def encoded(image: Image.Image | np.ndarray, form: str = "PNG", **given: Any) -> bytes:
    """An image as the content of a file."""
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, format=form, **given)
    return buffer.getvalue()


def folder(place: Path, liked: int = 3, disliked: int = 3) -> Path:
    """A folder of labels: light images are liked, dark ones are not."""
    for name, n, light in (("liked", liked, True), ("disliked", disliked, False)):
        (place / name).mkdir(parents=True)
        for number in range(n):
            (place / name / f"{number}.png").write_bytes(encoded(pixels(number, light)))
    return place


def files(place: Path, n: int) -> list[str]:
    """n images `0.png`, `1.png`, ...; even ones are light."""
    for number in range(n):
        (place / f"{number}.png").write_bytes(encoded(pixels(number, number % 2 == 0)))
    return [f"{number}.png" for number in range(n)]


def csv_file(place: Path, *lines: str, name: str = "labels.csv") -> Path:
    (place / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return place / name


def changed(file: Path, row: int, **values: Any) -> Path:
    """A parquet file with other values in one row."""
    frame = pd.read_parquet(file)
    for name, value in values.items():
        frame[name] = frame[name].astype(object)
        frame.at[row, name] = value
    frame.to_parquet(file)
    return file


class Grey(Model):
    """Grey images of 8 x 8 with independent normal pixels; the score is exact. No network."""

    def __init__(self, steps: int = 3) -> None:
        self.shape, self.steps, self.spread = (1, 8, 8), steps, 0.5

    def sigmas(self) -> Tensor:
        return torch.tensor([10.0, *np.linspace(1, 0, self.steps)], dtype=torch.float64)

    def denoiser(self, cost, network=None) -> Callable[[Tensor, float], Tensor]:
        def denoise(y: Tensor, sigma: float) -> Tensor:
            cost.forward += len(y)
            return y * self.spread**2 / (self.spread**2 + sigma**2)

        return denoise

    def decode(self, latents: Tensor) -> Tensor:
        return latents

    def encode(self, images: Tensor) -> Tensor:
        return images.mean(1, keepdim=True)
