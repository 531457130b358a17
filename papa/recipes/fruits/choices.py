"""What the population of `fruits` chose: base samples of some prompts, and pairs of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from papa.benchmark import pick_a_pic
from papa.benchmark.population import Person, choose
from papa.benchmark.tasks.fruits.captions import kind_prompt
from papa.benchmark.tasks.interface import Attributes
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.files import write_atomic
from papa.models.pipeline import PipelineModel
from papa.recipes.shared import Log
from papa.rng import Stream

GENERIC = "a photo of fruit"
SEEN = (
    GENERIC,
    *(kind_prompt(kind) for kind in ("apple", "banana", "grape", "orange", "strawberry", "watermelon")),
    *(f"a photo of {colour} fruit" for colour in ("red", "yellow", "orange")),
    "a photo of two fruits",
)
"""Prompts of the pairs that adapters are trained on."""
NEW = (kind_prompt("pear"), kind_prompt("lemon"), "a photo of green fruit", "a photo of purple fruit")
"""Prompts that no adapter was trained on."""
OF_GENERIC, OF_OTHER = 1536, 192
"""Base samples of the generic prompt, and of each other."""
TOLD = 32
"""How many of them describe the person; the others are what an adapter is trained on."""


@dataclass(frozen=True)
class Pool:
    """Base samples that persons choose from. images: (n, H, W, 3) uint8. prompt: (n,) which of `prompts`."""

    images: np.ndarray
    prompt: np.ndarray
    prompts: tuple[str, ...]

    def tensor(self) -> Tensor:
        """(n, 3, H, W) in [-1, 1]."""
        return torch.from_numpy(self.images).permute(0, 3, 1, 2).float() / 127.5 - 1


def drawn(model: PipelineModel, prompt: str, n: int, stream: Stream) -> np.ndarray:
    """(n, H, W, 3) uint8 base samples of a prompt."""
    noise = stream_noise(stream.at(prompt), (n, *model.shape), model.dtype, model.device)
    with model.prompted(prompt), torch.no_grad():
        return model.pack(model.decode(euler_ancestral(model.denoiser(Cost()), model.sigmas(), noise))).transpose(
            0, 2, 3, 1
        )


def make_pool(model: PipelineModel, prompts: Sequence[str], stream: Stream, log: Log) -> Pool:
    """Draw the base samples; about five minutes of one CPU thread."""
    found = []
    for prompt in prompts:
        found.append(drawn(model, prompt, OF_GENERIC if prompt == GENERIC else OF_OTHER, stream))
        log(f"pool: {len(found[-1])} samples of {prompt!r}")
    return Pool(np.concatenate(found), np.repeat(np.arange(len(found)), list(map(len, found))), tuple(prompts))


@dataclass(frozen=True)
class Chosen:
    """One person's pairs. prompt, first, second: (n,) which prompt and which images. label: 1, 0, or 0.5 for a tie."""

    prompt: np.ndarray
    first: np.ndarray
    second: np.ndarray
    label: np.ndarray


def chosen_by(person: Person, utility: np.ndarray, pool: Pool, n: int, stream: Stream) -> Chosen:
    """n pairs of a person: every second one of the generic prompt, the others of any.

    Args:    utility: (images,) the person's, in deviations.
    """
    rng = stream.at(person=person.number).generator()
    prompt = np.where(np.arange(n) % 2 == 0, 0, rng.integers(len(pool.prompts), size=n))
    pairs = np.stack([rng.choice(np.flatnonzero(pool.prompt == p), 2, replace=False) for p in prompt])
    first, second = pairs.T
    return Chosen(prompt, first, second, choose(utility[first], utility[second], person.temperature, rng.random(n)))


def utilities(persons: Sequence[Person], attributes: Attributes, images: Tensor) -> np.ndarray:
    """(persons, n) utility of images, of mean 0 and deviation 1 for each person over the images."""
    with torch.no_grad():
        parts = [attributes(part) for part in images.split(512)]
    shares = {name: torch.cat([part[name] for part in parts]).double().numpy() for name in parts[0]}
    found = np.stack([person.utility(shares) for person in persons])
    return (found - found.mean(1, keepdims=True)) / found.std(1, keepdims=True)


def as_rows(persons: Sequence[Person], chosen: Sequence[Chosen], pool: Pool) -> list[pick_a_pic.Written]:
    """The pairs as rows of Pick-a-Pic's layout."""
    return [
        pick_a_pic.Written(f"person-{person.number:03d}", pool.prompts[p], int(a), int(b), float(label))
        for person, own in zip(persons, chosen, strict=True)
        for p, a, b, label in zip(own.prompt, own.first, own.second, own.label, strict=True)
    ]


def kept(file: Path, prompts: Sequence[str], pool: Pool | None = None) -> Pool | None:
    """Read the pool of a file, or write one."""
    from papa.benchmark.runs.record import arrays_of, npz_bytes

    if pool is not None:
        write_atomic(file, npz_bytes({"images": pool.images, "prompt": pool.prompt}))
        return pool
    if not file.is_file():
        return None
    arrays = arrays_of(file.read_bytes(), file)
    return Pool(arrays["images"], arrays["prompt"], tuple(prompts))
