"""User encoders: from a few choices to the tokens that describe a person. All of them are frozen.

A person is a set of pairs (preferred, rejected). The tokens do not depend on the pairs' order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

SHRINK = 2.0
"""How many pairs' worth of an unknown person are mixed in: few choices make a small difference, many a full one."""
USER_FLAG = 0.3
"""Value of the entries of the first token, which every person has: the network then knows that it draws for somebody,
and the other tokens describe whom."""


@dataclass(frozen=True)
class Choices:
    """What a person chose. preferred, rejected: (N, C, H, W) images in [-1, 1]. captions: what each pair shows."""

    preferred: Tensor
    rejected: Tensor
    captions: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.preferred)


class UserEncoder(ABC):
    """A frozen encoder.

    Attributes: name: for records. tokens, width: of the description of a person.
    """

    name: str
    tokens: int
    width: int

    @abstractmethod
    def encode(self, choices: Choices) -> Tensor:
        """The tokens of a person, (tokens, width) float32. No choices: those of a person of whom nothing is known."""


class ImageEncoder(UserEncoder):
    """An encoder that looks at one image after the other, and pools over the pairs.

    Besides the first token there is one: what was preferred, what was rejected, and their difference, one behind the
    other, each summed over the pairs and divided by N + `SHRINK`. (As three tokens they could not be told apart:
    attention does not know which token is which.) Features are standardized on images that no person chose from.

    Args:    mean, deviation: (d,) of the features of such images.
    """

    tokens = 2

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        self.mean, self.deviation, self.width = mean, deviation.clamp(min=1e-6), 3 * len(mean)

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """(n, C, H, W) images in [-1, 1] -> (n, d) float32, not standardized."""

    @torch.no_grad()
    def standardized(self, images: Tensor) -> Tensor:
        """(n, d) features of mean 0 and deviation 1."""
        return (self.features(images).cpu() - self.mean) / self.deviation

    def encode(self, choices: Choices) -> Tensor:
        if not len(choices):
            return self.pooled(*torch.zeros(2, 0, len(self.mean)))
        return self.pooled(self.standardized(choices.preferred), self.standardized(choices.rejected))

    def pooled(self, preferred: Tensor, rejected: Tensor) -> Tensor:
        """The tokens of (N, d) standardized features of both sides."""
        told = torch.cat([preferred.sum(0), rejected.sum(0), (preferred - rejected).sum(0)])
        return torch.stack([torch.full((self.width,), USER_FLAG), told / (len(preferred) + SHRINK)])


class ClipEncoder(ImageEncoder):
    """The image tower of an OpenCLIP model that is neither a judge nor what labels.

    Args:    embed: (n, 3, H, W) images in [-1, 1] -> (n, d) unit embeddings. texts: sentences -> (n, d) unit embeddings
             of the same model's text tower, for what is said in words.
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
        """The tokens of a person who says in words what they like and what not.

        A text's embedding lies elsewhere than an image's, so it is compared with those of other sentences.

        Args:    others: sentences about all sorts of pictures. weight: as many choices as the words count for.
        """
        middle = self.texts(others).cpu().mean(0)
        told, not_told = ((self.texts([said]).cpu() - middle) / self.deviation for said in (liked, disliked))
        return self.pooled(told.expand(weight, -1), not_told.expand(weight, -1))


class PixelEncoder(ImageEncoder):
    """The control: mean and deviation of each colour in each of `GRID` x `GRID` parts of the picture."""

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
    """Some of a person's choices."""
    index = torch.from_numpy(which)
    captions = [choices.captions[int(i)] for i in which] if choices.captions else []
    return Choices(choices.preferred[index], choices.rejected[index], captions)
