"""The preference proxy of text-to-image tasks: an OpenCLIP model and a bank of prompts.

    s(image) = sum over the user's concepts of softmax(temperature * similarity)

The softmax runs over the concepts of all users and the distractors (inside one user's own prompts it would
be 1 for everything). A concept of several prompts scores by the mean of their embeddings, so its weight
does not depend on how many there are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from papa.errors import PapaError, SettingsError

Concept = dict[str, Any]
"""Attributes of a concept, for example {"kind": "apple", "colour": "red", "count": 2}."""


class PromptBank:
    """Concepts and the prompts of each, in a fixed order.

    Raises:
        SettingsError: for a concept without a prompt, or an empty bank.
    """

    def __init__(self, concepts: Sequence[Concept], prompts: Sequence[Sequence[str]]) -> None:
        if not concepts:
            raise SettingsError("the prompt bank is empty; give it the prompts of one user or more, and distractors.")
        for concept, own in zip(concepts, prompts, strict=True):
            if not own or not all(text.strip() for text in own):
                raise SettingsError(f"the prompt bank has no prompt for {name_of(concept)!r}; give it one or more.")
        self.concepts, self.prompts = list(concepts), [list(own) for own in prompts]

    def members(self, wanted: Mapping[str, Any]) -> tuple[int, ...]:
        """Indices of the concepts that have one of the wanted values of every attribute.

        Raises:
            SettingsError: if there is none.
        """
        allowed = {key: value if isinstance(value, list | tuple) else (value,) for key, value in wanted.items()}
        found = tuple(
            i
            for i, concept in enumerate(self.concepts)
            if allowed and all(concept.get(key) in values for key, values in allowed.items())
        )
        if not found:
            raise SettingsError(
                f"no concept of the prompt bank is {dict(wanted)}; it has {', '.join(map(name_of, self.concepts))}."
            )
        return found


def bank_of(prompts: Mapping[str, Sequence[str]]) -> PromptBank:
    """A bank of concepts that have a kind alone; prompts: kind -> its prompts."""
    return PromptBank([{"kind": name} for name in prompts], list(prompts.values()))


def name_of(concept: Concept) -> str:
    """A concept's attributes in one phrase."""
    return " ".join(map(str, concept.values()))


class ClipJudge(nn.Module):
    """An OpenCLIP model and a prompt bank, as a judge of images.

    Args:
        model: any open_clip model.
        tokenize: its tokenizer.
        bank: the prompts.
        normalize: (mean, std) of its images in [0, 1].
        size: side of its images, in pixels.
        temperature: factor on the cosine similarities; None takes the model's own logit scale.
        chunk: images per forward pass.

    Raises:
        SettingsError: for a prompt that is longer than the model's context.
    """

    def __init__(
        self,
        model: Any,
        tokenize: Callable[[list[str]], Tensor],
        bank: PromptBank,
        normalize: tuple[Sequence[float], Sequence[float]],
        size: int,
        temperature: float | None = None,
        chunk: int = 256,
    ) -> None:
        super().__init__()
        self.model, self.bank, self.size, self.chunk = model.eval().requires_grad_(False), bank, size, chunk
        self.temperature = temperature if temperature is not None else float(model.logit_scale.exp())
        device = next(model.parameters()).device
        self.mean, self.std = (torch.tensor(list(v), device=device).view(1, 3, 1, 1) for v in normalize)
        self.tokenize = tokenize
        self.text = self.encoded(bank)
        self._seen = WeakTensorKeyDictionary()

    @torch.no_grad()
    def encoded(self, bank: PromptBank) -> Tensor:
        """(concepts, d) unit embeddings of a bank."""
        rows = []
        for own in bank.prompts:
            tokens = self.tokenize(own)
            refuse_truncated(tokens, own, self.tokenize)
            rows.append(self.model.encode_text(tokens.to(self.mean.device), normalize=True).float().mean(0))
        return nn.functional.normalize(torch.stack(rows), dim=1)

    def with_bank(self, bank: PromptBank) -> ClipJudge:
        """The same model with other prompts."""
        other = copy.copy(self)
        other.bank, other.text, other._seen = bank, self.encoded(bank), WeakTensorKeyDictionary()
        return other

    def embed(self, images: Tensor) -> Tensor:
        """(n, 3, H, W) images in [-1, 1] -> (n, d) unit embeddings, differentiable."""
        x = (images.to(self.mean.device, torch.float32) + 1) / 2
        if x.shape[-1] != self.size or x.shape[-2] != self.size:
            x = nn.functional.interpolate(x, (self.size, self.size), mode="bicubic", antialias=True)
        return self.model.encode_image((x - self.mean) / self.std, normalize=True).float()

    def similarity(self, images: Tensor) -> Tensor:
        """(n, concepts) cosine similarities, differentiable.

        Cached for a tensor while it exists unchanged: a user's answer, the preference and the judge's probabilities
        are all functions of them.
        """
        if images.requires_grad:
            return self._similarity(images)
        found = self._seen.get(images)
        if found is None or found[0] != images._version:  # written to since
            found = self._seen[images] = images._version, self._similarity(images)
        return found[1]

    def _similarity(self, images: Tensor) -> Tensor:
        return torch.cat([self.embed(part) @ self.text.T for part in images.split(self.chunk)])

    def forward(self, images: Tensor) -> Tensor:
        """(n, concepts) probabilities, differentiable."""
        return (self.temperature * self.similarity(images)).softmax(1)

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> np.ndarray:
        """(n, concepts) float64."""
        return self(images).double().cpu().numpy()

    @torch.no_grad()
    def self_check(self, images: Tensor) -> np.ndarray:
        """Mean probabilities over different images.

        Raises:
            PapaError: if no concept's score varies between images.
        """
        scores = self.similarity(images)
        if not torch.isfinite(scores).all() or float(scores.std(0).max()) < 1e-4:
            raise PapaError(
                "the preference proxy gives every base sample the same scores. Its weights or its preprocessing are "
                "wrong, or all base samples are the same; run `papa doctor`."
            )
        return self(images).mean(0).double().cpu().numpy()


def refuse_truncated(tokens: Tensor, prompts: list[str], tokenize: Any) -> None:
    """Refuse prompts that open_clip's tokenizer truncates silently."""
    limit = tokens.shape[1] - 2
    for prompt in prompts if hasattr(tokenize, "encode") else ():
        if (length := len(tokenize.encode(prompt))) > limit:
            raise SettingsError(
                f"the prompt {prompt!r} of the bank has {length} tokens and the proxy's limit is {limit}; shorten it."
            )
