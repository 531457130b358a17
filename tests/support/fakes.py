"""A text-to-image task without networks, for what happens around one: prompts, records, scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.tasks.declaration import TaskDeclaration
from papa.benchmark.tasks.interface import Task
from papa.benchmark.tasks.text_to_image import TextToImage
from papa.benchmark.users.interface import Taste, User, UserKind
from papa.models.interface import Model
from papa.models.settings import PipelineSettings

KINDS = ("apple", "banana", "pear")


class Paint(Model):
    """A sample is a point; its largest coordinate is its kind. A prompt that names a kind draws points far along its
    coordinate, any other prompt points around the origin. The score is exact."""

    def __init__(self, settings: PipelineSettings) -> None:
        self._own = settings.prompt
        self.shape, self.prompt, self.steps, self.chunk = (len(KINDS),), settings.prompt, settings.steps, settings.chunk

    @property
    def own_prompt(self) -> bool:
        return self.prompt == self._own

    def sigmas(self) -> Tensor:
        return torch.tensor([10.0, 3.0, 1.0, 0.3, 0.0], dtype=torch.float64)

    def denoiser(self, cost, network=None) -> Callable[[Tensor, float], Tensor]:
        prompt = self.prompt or ""
        mean = 20.0 * torch.tensor([float(kind in prompt) for kind in KINDS])

        def denoise(y: Tensor, sigma: float) -> Tensor:
            cost.forward += len(y)
            return mean + (y - mean) / (1 + sigma**2)

        return denoise

    @contextmanager
    def prompted(self, prompt: str) -> Iterator[None]:
        before, self.prompt = self.prompt, prompt
        try:
            yield
        finally:
            self.prompt = before

    def decode(self, latents: Tensor) -> Tensor:
        return latents


class Painted(Task):
    """A task with that model."""

    concepts: ClassVar = [{"kind": kind, "colour": colour} for kind in KINDS for colour in ("green", "red")]
    retained: ClassVar = {"banana": "a photo of a banana", "apple": "a photo of an apple", "pear": "a photo of a pear"}
    retention = TextToImage.retention

    def load_model(self) -> Paint:
        return Paint(self.settings)

    def judges(self) -> dict:
        return {"gold": Largest(), "held_out": Largest()}


class Largest:
    """The concept is the first of the largest coordinate's kind."""

    def probabilities(self, images: Tensor) -> np.ndarray:
        return np.eye(2 * len(KINDS))[2 * images.argmax(1).numpy()]


class FondTaste(Taste):
    """Concepts by their numbers."""

    likes: tuple[int, ...]


class Fond(User):
    """Likes concepts, and knows which once it has met the task."""

    def calibrate(self, task: object) -> None:
        self.classes = self.taste.likes

    def preference(self, images: Tensor) -> Tensor:
        return images.softmax(1)[:, [index // 2 for index in self.taste.likes[::2]]].sum(1)

    def verdict(self, images: Tensor) -> np.ndarray:
        return np.isin(images.argmax(1).numpy(), [index // 2 for index in self.taste.likes]).astype(float)


FOND = UserKind(FondTaste, Fond, needs="concepts")
PAINTED = TaskDeclaration(
    PipelineSettings,
    "support.fakes:Painted",
    users={"a": {"kind": "fond", "likes": [0, 1]}, "b": {"kind": "fond", "likes": [2, 3]}},
    offers=frozenset({"concepts"}),
    prompted=True,
    finetunes=False,
)
