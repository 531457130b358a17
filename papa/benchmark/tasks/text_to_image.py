"""Shared by text-to-image tasks: an OpenCLIP proxy, and retention of other prompts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping

import numpy as np
from torch import Tensor

from papa.benchmark.tasks.interface import Judge, Task
from papa.benchmark.tasks.prompts import ClipJudge
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.rng import Stream

CHECKED = 32
"""Base samples of the proxy's self-check."""


class TextToImage(Task):
    """A latent diffusion model with a prompt, and judges of concepts.

    Attributes:
        retained: kind of concept -> the prompt whose images measure retention, in order of preference.
    """

    retained: Mapping[str, str] = {}

    @abstractmethod
    def proxy(self) -> ClipJudge:
        """The OpenCLIP judge that labels."""

    @abstractmethod
    def known_images(self) -> tuple[Tensor, np.ndarray]:
        """Images of known concepts, and the concepts."""

    def judges(self) -> dict[str, Judge]:
        return {"gold": self.proxy()}

    def retention(self, classes: tuple[int, ...] | None) -> tuple[str, tuple[int, ...]] | None:
        """The prompt and concepts of the first kind of which the user likes at most half of the concepts."""
        for kind, prompt in self.retained.items() if classes is not None else ():
            asked = tuple(i for i, concept in enumerate(self.concepts) if concept["kind"] == kind)
            if asked and 2 * len(set(asked) & set(classes or ())) <= len(asked):
                return prompt, asked
        return None

    def check(self, log: Callable[[str], None]) -> None:
        """The proxy's self-check on a few base samples."""
        model = self.model
        noise = stream_noise(Stream(0).at("self-check"), (CHECKED, *model.shape), model.dtype, model.device)
        images = model.decode(euler_ancestral(model.denoiser(Cost()), model.sigmas(), noise))
        proxy = self.proxy()
        means = proxy.self_check(images)
        kinds: dict[str, float] = {}
        for concept, share in zip(proxy.bank.concepts, means, strict=True):
            kinds[concept["kind"]] = kinds.get(concept["kind"], 0.0) + share
        log("proxy on base samples: " + ", ".join(f"{kind} {share:.2f}" for kind, share in kinds.items()))
