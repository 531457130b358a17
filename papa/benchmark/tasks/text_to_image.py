"""What text-to-image tasks share: an OpenCLIP proxy, and the check of what is drawn for other prompts.

One code path for every latent diffusion model: `fruits` is `sd15` with other weights on disk.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from torch import Tensor

from papa.benchmark.tasks.interface import Judge, Task
from papa.benchmark.tasks.prompts import ClipJudge
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.rng import Stream

CHECKED = 32
"""Base samples that the proxy's self-check looks at."""


class TextToImage(Task):
    """A latent diffusion model with a prompt, and judges that tell concepts apart.

    Attributes: retained: kinds that an aligned model may be asked for by name, in the order in which one is picked.
    """

    retained: ClassVar[tuple[str, ...]] = ("banana", "apple", "pear")

    @abstractmethod
    def proxy(self) -> ClipJudge:
        """The OpenCLIP judge that labels."""

    @abstractmethod
    def known_images(self) -> tuple[Tensor, np.ndarray]:
        """Images whose concept is known, and their concepts."""

    def judges(self) -> dict[str, Judge]:
        return {"gold": self.proxy()}

    def retention(self, classes: tuple[int, ...] | None) -> tuple[str, tuple[int, ...]] | None:
        """The prompt and the concepts of the first kind of which the user likes half of the concepts or fewer."""
        for kind in self.retained if classes is not None else ():
            asked = tuple(i for i, concept in enumerate(self.concepts) if concept["kind"] == kind)
            if asked and 2 * len(set(asked) & set(classes or ())) <= len(asked):
                return f"a photo of {'an' if kind[0] in 'aeiou' else 'a'} {kind}", asked
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
