"""Frozen user encoders: from a few pairwise choices to the tokens of a user.

A user is a set of pairs (preferred, rejected). The tokens do not depend on the pairs' order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

SHRINK = 2.0
"""Pseudo-count of pairs of an unknown user: shrinks the tokens of few choices."""
USER_FLAG = 0.3
"""Entries of the first token, the same for every user: it separates conditioned from unconditional samples."""


@dataclass(frozen=True)
class Choices:
    """Pairwise choices of one user: (N, C, H, W) images in [-1, 1], and a caption of each pair."""

    preferred: Tensor
    rejected: Tensor
    captions: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.preferred)


class UserEncoder(ABC):
    """A frozen encoder. name: for records. tokens, width: shape of a user's tokens."""

    name: str
    tokens: int
    width: int

    @abstractmethod
    def encode(self, choices: Choices) -> Tensor:
        """(tokens, width) float32 tokens of a user; without choices those of an unknown user."""


class ImageEncoder(UserEncoder):
    """An encoder of single images, pooled over the pairs.

    The second token concatenates the features of preferred images, of rejected images, and their difference, each
    summed over the pairs and divided by N + `SHRINK` (attention could not distinguish three tokens). Features are
    standardized on images outside the choices, with their (d,) mean and deviation.
    """

    tokens = 2

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        self.mean, self.deviation, self.width = mean, deviation.clamp(min=1e-6), 3 * len(mean)

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """(n, C, H, W) images in [-1, 1] -> (n, d) float32, not standardized."""

    @torch.no_grad()
    def standardized(self, images: Tensor) -> Tensor:
        return (self.features(images).cpu() - self.mean) / self.deviation

    def encode(self, choices: Choices) -> Tensor:
        if not len(choices):
            return self.pooled(*torch.zeros(2, 0, len(self.mean)))
        return self.pooled(self.standardized(choices.preferred), self.standardized(choices.rejected))

    def pooled(self, preferred: Tensor, rejected: Tensor) -> Tensor:
        """The tokens of (N, d) standardized features of both sides."""
        summed = torch.cat([preferred.sum(0), rejected.sum(0), (preferred - rejected).sum(0)])
        return torch.stack([torch.full((self.width,), USER_FLAG), summed / (len(preferred) + SHRINK)])


class ClipEncoder(ImageEncoder):
    """The image tower of an OpenCLIP model that is not a judge.

    Args:
        embed: (n, 3, H, W) images in [-1, 1] -> (n, d) unit embeddings.
        texts: sentences -> (n, d) unit embeddings of the same model's text tower.
    """

    name = "clip"

    def __init__(
        self,
        embed: Callable[[Tensor], Tensor],
        texts: Callable[[Sequence[str]], Tensor],
        mean: Tensor,
        deviation: Tensor,
    ) -> None:
        self.embed, self.texts = embed, texts
        super().__init__(mean, deviation)

    def features(self, images: Tensor) -> Tensor:
        return torch.cat([self.embed(part) for part in images.split(256)])

    @torch.no_grad()
    def stated(self, liked: str, disliked: str, others: Sequence[str], weight: int = 4) -> Tensor:
        """The tokens of a user who describes the preference in words; the description counts for `weight` choices.

        Embeddings of texts and images have different means, so texts are centred on those of other sentences.
        """
        middle = self.texts(others).cpu().mean(0)
        preferred, rejected = ((self.texts([said]).cpu() - middle) / self.deviation for said in (liked, disliked))
        return self.pooled(preferred.expand(weight, -1), rejected.expand(weight, -1))


class PixelEncoder(ImageEncoder):
    """The control: mean and deviation of each colour in each of `GRID` x `GRID` parts of the image."""

    name = "pixels"
    GRID = 3

    def features(self, images: Tensor) -> Tensor:
        mean = nn.functional.adaptive_avg_pool2d(images, self.GRID)
        square = nn.functional.adaptive_avg_pool2d(images.square(), self.GRID)
        return torch.cat([mean, (square - mean.square()).clamp(min=0).sqrt()], 1).flatten(1)


def standardization(features: Tensor) -> tuple[Tensor, Tensor]:
    """(width,) mean and deviation of (n, width) features."""
    deviation, mean = torch.std_mean(features.cpu(), 0)
    return mean, deviation


def some_of(choices: Choices, which: np.ndarray) -> Choices:
    index = torch.from_numpy(which)
    captions = [choices.captions[int(i)] for i in which] if choices.captions else []
    return Choices(choices.preferred[index], choices.rejected[index], captions)
