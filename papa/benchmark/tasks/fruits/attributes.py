"""Attributes of an image of fruit as classified by an OpenCLIP model.

Kind, colour and number are marginals of the bank of concepts. Size and background have banks of their own, each prompt
averaged over the kinds, so a value's score does not depend on the fruit.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from papa.benchmark.tasks.fruits.captions import article, on, phrase
from papa.benchmark.tasks.fruits.render import BACKGROUNDS, COLOURS, CONCEPTS, KINDS
from papa.benchmark.tasks.prompts import ClipJudge, PromptBank

VALUES: dict[str, tuple[str, ...]] = {
    "kind": tuple(KINDS),
    "colour": tuple(COLOURS),
    "count": ("1", "2"),
    "size": ("small", "large"),
    "background": tuple(BACKGROUNDS),
}
"""The attributes of an image and their values, in the order of the columns of the shares."""


def _size_prompts(size: str) -> list[str]:
    return [f"a photo of {phrase(kind, None, 1, size)}" for kind in KINDS]


def _background_prompts(background: str) -> list[str]:
    return [f"a photo of {phrase(kind, None, 1)} on {article(background)} background" for kind in KINDS]


def sentence(which: Mapping[str, int]) -> str:
    """A caption of one value of every attribute, for example "a photo of two green pears on a white background".

    Args:    which: attribute -> which of its `VALUES`.
    """
    said = {name: VALUES[name][place] for name, place in which.items()}
    count = int(said["count"])
    words = phrase(said["kind"], said["colour"], count, said["size"] if count == 1 else None)
    return f"a photo of {words}{on(said['background'])}"


class AttributeShares:
    """How likely each value of each attribute is. judge: an OpenCLIP model with the bank of concepts."""

    values = VALUES

    def __init__(self, judge: ClipJudge) -> None:
        self._concepts = judge
        made = {"size": _size_prompts, "background": _background_prompts}
        self._banks = {
            name: judge.with_bank(PromptBank([{name: value} for value in VALUES[name]], list(map(of, VALUES[name]))))
            for name, of in made.items()
        }
        self._marginals = {
            name: torch.tensor([[float(str(c[place]) == value) for value in VALUES[name]] for c in CONCEPTS])
            for place, name in enumerate(("kind", "colour", "count"))
        }

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """(n, 3, H, W) images -> attribute -> (n, values) shares, rows of sum 1, differentiable."""
        shares = self._concepts(images)
        found = {name: shares @ of.to(shares) for name, of in self._marginals.items()}
        return found | {name: judge(images) for name, judge in self._banks.items()}
