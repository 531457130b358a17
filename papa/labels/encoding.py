"""Labels as a model takes them: latents of the pictures, and the answers as feedback."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from papa.errors import DivergedError
from papa.feedback import Feedback, Query
from papa.labels.interface import Labels
from papa.labels.pictures import Picture
from papa.models.interface import Model

CHUNK = 16
"""Pictures that are read and encoded at a time. Another number may change the last bits."""


@dataclass(frozen=True)
class Given:
    """Labels for one model.

    query, feedback: as a method is told them. digests: sha256 of each picture's file. places: what an error calls each.
    marks: what each is recognized by, as `Model.marks` has them of the fitted pictures.
    """

    query: Query
    feedback: Feedback
    digests: tuple[str, ...]
    places: tuple[str, ...]
    marks: list[list[float]]

    def __len__(self) -> int:
        """Pictures."""
        return len(self.digests)

    @property
    def digest(self) -> str:
        """sha256 of pictures and answers together, in hex."""
        feedback = self.feedback
        answers = (feedback.preference, feedback.pairs, feedback.ties)
        text = "\n".join([*self.digests, *(str(None if of is None else of.tolist()) for of in answers)])
        return hashlib.sha256(text.encode()).hexdigest()


def encoded(labels: Labels, model: Model) -> Given:
    """Read the pictures, fit them to the model's size, and encode them, `CHUNK` at a time.

    Raises:  LabelsError for a picture that cannot be read. ModelError for a model that takes no pictures.
             DivergedError where the model's encoder returns NaN or infinity.
    """
    latents: list[Tensor] = []
    marks: list[list[float]] = []
    digests: list[str] = []
    for chunk in _chunks(labels.pictures(model.image_size())):
        images = to_images(np.stack([picture.pixels for picture in chunk])).to(model.device)
        latents.append(_latents(model, images))
        marks += model.marks(images)
        digests += [picture.digest for picture in chunk]
    of_pairs = labels.kind == "pairs"
    query = Query(
        torch.cat(latents),
        None if model.prompt is None else [model.prompt] * len(labels),
        "pairs" if of_pairs else "graded",
    )
    feedback = Feedback(labels.preference, None, *((labels.pairs, labels.ties) if of_pairs else (None, None)))
    feedback.check(len(query.latents))
    return Given(query, feedback, tuple(digests), labels.places, marks)


def to_images(pixels: np.ndarray) -> Tensor:
    """(n, H, W, 3) uint8 -> (n, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def _latents(model: Model, images: Tensor) -> Tensor:
    found = model.encode(images).to(model.dtype)
    if not torch.isfinite(found).all():  # float16 overflows in some autoencoders
        raise DivergedError("the model's encoder returned NaN or infinity for a given picture; set dtype: fp32")
    return found


def _chunks(pictures: Iterator[Picture]) -> Iterator[list[Picture]]:
    while chunk := list(islice(pictures, CHUNK)):
        yield chunk
