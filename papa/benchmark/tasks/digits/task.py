"""Task `digits`: scikit-learn's 1,797 real handwritten digits, 8x8, and a small DDPM trained on them.

Three disjoint parts: A labels (gold judge), B never queried (held-out judge), C reference (FID and the
judges' accuracies). The base model and FID's feature network saw A and B, not C. See
`papa/data/digits/README.md` for the model card.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch import Tensor, nn

from papa.benchmark.tasks.artefacts import folder, verified_card
from papa.benchmark.tasks.digits.nets import SHAPE, DigitClassifier, feature_network, gold_judge
from papa.benchmark.tasks.images import ClassifierJudge, ImageTask, StandardizedFeatures, load_classifier
from papa.benchmark.tasks.interface import Judge, References
from papa.diffusion.denoiser import Cost, Denoiser, UNetDenoiser
from papa.diffusion.schedule import sampling_sigmas

NAME = "digits"

GAMMA: Any = 0.02
"""Kernel width of the held-out judge (scikit-learn's annotation knows only its strings)."""


@cache
def real_digits() -> tuple[Tensor, np.ndarray]:
    """All (1797, 1, 8, 8) images in [-1, 1] and their (1797,) labels."""
    from sklearn.datasets import load_digits  # a second of import that aligning does not need

    pixels, labels = load_digits(return_X_y=True)
    images = np.asarray(pixels, dtype=np.float32).reshape(-1, *SHAPE) / 8 - 1
    return torch.from_numpy(images), np.asarray(labels)


class Digits(ImageTask):
    """8x8 handwritten digits; the latent is the image."""

    def __post_init__(self) -> None:
        self.card: dict[str, Any] = verified_card(NAME)
        self.shape = SHAPE
        self.spread = self.card["spread"]
        self._scheduler = cast(DDPMScheduler, DDPMScheduler.from_pretrained(folder(NAME) / "scheduler"))
        self.alphas_cumprod = self._scheduler.alphas_cumprod
        self._base = self.unet().requires_grad_(False)

    # ------------------------------------------------------------ the model

    def unet(self) -> nn.Module:
        path = folder(NAME) / "unet"
        unet = UNet2DModel.from_pretrained(path, use_safetensors=True, low_cpu_mem_usage=False)
        return cast(nn.Module, unet).float().to(self.device).eval()

    def sigmas(self) -> Tensor:
        return sampling_sigmas(dict(self._scheduler.config), self.settings.steps)

    def denoiser(self, cost: Cost, unet: nn.Module | None = None) -> Denoiser:
        assert self.alphas_cumprod is not None
        return UNetDenoiser(unet or self._base, self.alphas_cumprod, (-1.0, 1.0), self.settings.chunk, cost)

    def decode(self, latents: Tensor) -> Tensor:
        return latents

    # ------------------------------------------------------------ judges and references

    def gold_network(self) -> DigitClassifier:
        """The classifier that labels."""
        return load_classifier(gold_judge(), folder(NAME) / "gold.safetensors", self.device)

    def part(self, name: str) -> tuple[Tensor, np.ndarray]:
        """Images and labels of part "A", "B" or "C"."""
        images, labels = real_digits()
        chosen = self.card["splits"][name]
        return images[chosen], labels[chosen]

    def judges(self) -> dict[str, Judge]:
        return {"gold": ClassifierJudge(self.gold_network()), "held_out": HeldOutJudge(*self.part("B"))}

    def references(self) -> References:
        images, labels = self.part("C")
        net = load_classifier(feature_network(), folder(NAME) / "features.safetensors", self.device)
        features = StandardizedFeatures(net, self.other_real_images()[0])
        return References(images, labels, features, features.dim)

    def other_real_images(self) -> tuple[Tensor, np.ndarray]:
        (xa, ya), (xb, yb) = self.part("A"), self.part("B")
        return torch.cat([xa, xb]), np.concatenate([ya, yb])


class HeldOutJudge:
    """A support vector machine on part B: another family of classifier, on images that gold never saw.

    It is fitted anew where it is used (0.1 s, deterministic), so there is no weight file to trust.
    """

    def __init__(self, images: Tensor, labels: np.ndarray) -> None:
        from sklearn.svm import SVC

        self.machine = SVC(C=10.0, gamma=GAMMA).fit(images.flatten(1).numpy(), labels)

    def probabilities(self, images: Tensor) -> np.ndarray:
        """One-hot decisions: this judge gives verdicts, not certainties."""
        return np.eye(10)[self.machine.predict(images.flatten(1).cpu().numpy())]
