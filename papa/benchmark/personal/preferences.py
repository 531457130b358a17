"""Pairs chosen by members of the population, and training data for PPD from such pairs.

Both are rows of Pick-a-Pic (`pick_a_pic`), so a training reads simulated choices or the published files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from papa.benchmark.personal.pick_a_pic import Choice, Written
from papa.benchmark.personal.population import Person, standardized
from papa.benchmark.tasks.images import to_range
from papa.benchmark.tasks.interface import Attributes
from papa.errors import PapaError
from papa.methods.ppd_training import Pairs
from papa.models.personal.encoder import Choices, UserEncoder
from papa.rng import Stream
from papa.settings import Positive, Settings


def shares_of(attributes: Attributes, images: Tensor) -> dict[str, np.ndarray]:
    """Attribute -> (n, values) float64 probabilities."""
    with torch.no_grad():
        parts = [attributes(part) for part in images.split(256)]
    return {name: torch.cat([part[name] for part in parts]).double().cpu().numpy() for name in parts[0]}


@dataclass(frozen=True)
class Pool:
    """Images to choose among. images: (n, H, W, 3) uint8. prompt: (n,) indices into `prompts`."""

    images: np.ndarray
    prompt: np.ndarray
    prompts: Sequence[str]


def chosen_by(persons: Sequence[Person], attributes: Attributes, pool: Pool, n: int, stream: Stream) -> list[Written]:
    """n pairs of each member: every second one of the first prompt, the others of any; ties included."""
    shares, rows = shares_of(attributes, to_range(pool.images)), []
    of_prompt = [np.flatnonzero(pool.prompt == p) for p in range(len(pool.prompts))]
    for person in persons:
        utility, rng = standardized(person.utility(shares)), stream.at(person=person.number).generator()
        prompt = np.where(np.arange(n) % 2 == 0, 0, rng.integers(len(pool.prompts), size=n))
        first, second = np.stack([rng.choice(of_prompt[p], 2, replace=False) for p in prompt]).T
        label = person.choose(utility[first], utility[second], rng.random(n))
        name = f"person-{person.number:03d}"
        rows += [
            Written(name, pool.prompts[int(p)], int(a), int(b), float(said))
            for p, a, b, said in zip(prompt, first, second, label, strict=True)
        ]
    return rows


@dataclass
class Gathered:
    """The rows of a dataset, with each image and prompt once. rows: user -> (first, second, prompt, label)."""

    images: list[np.ndarray] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    rows: dict[str, list[tuple[int, int, int, float]]] = field(default_factory=dict)

    def choices(self, rows: Sequence[tuple[int, int, int, float]]) -> Choices:
        """Rows as choices, without ties."""
        decided = [(a, b, p) if label == 1 else (b, a, p) for a, b, p, label in rows if label != 0.5]
        both = [to_range(np.stack([self.images[row[side]] for row in decided])) for side in (0, 1)] if decided else []
        better, worse = both or torch.zeros(2, 0, 3, *(self.images[0].shape[:2] if self.images else (1, 1)))
        return Choices(better, worse, [self.prompts[p] for _, _, p in decided])


def gathered(choices: Iterable[Choice]) -> Gathered:
    """A dataset grouped by user, in order of appearance."""
    found, seen, said = Gathered(), {}, {}

    def index(image: np.ndarray) -> int:
        key = (image.shape, image.tobytes())
        if key not in seen:
            seen[key] = len(found.images)
            found.images.append(image)
        return seen[key]

    for choice in choices:
        if choice.caption not in said:
            said[choice.caption] = len(found.prompts)
            found.prompts.append(choice.caption)
        row = (index(choice.first), index(choice.second), said[choice.caption], choice.label)
        found.rows.setdefault(choice.user, []).append(row)
    return found


class Telling(Settings):
    """Conditioning of users in a training."""

    told: Positive = 32
    """Pairs of a user for conditioning; the others are training pairs."""
    shots: Annotated[tuple[Positive, ...], Field(min_length=1)] = (4, 8, 16, 32, 32)
    """Pairs of one conditioning, in turn."""
    draws: Positive = 15
    """Conditionings of each user."""

    @model_validator(mode="after")
    def _enough(self) -> Telling:
        if max(self.shots) > self.told:
            raise ValueError(
                f"shots: {max(self.shots)} pairs of one description are more than the {self.told} of told; lower them, "
                "or raise told"
            )
        return self


def training_pairs(
    data: Gathered,
    encoder: UserEncoder,
    latents: Callable[[list[np.ndarray]], Tensor],
    prompts: Callable[[list[str]], Tensor],
    stream: Stream,
    telling: Telling | None = None,
) -> Pairs:
    """Training data. The pairs used as conditioning of a user are not training pairs.

    Args:
        data: a dataset.
        encoder: of the conditioning.
        latents: images -> latents of the trained model.
        prompts: prompts -> embeddings of the trained model.
        stream: random choice of the conditioning pairs.
        telling: numbers of pairs.

    Raises:
        PapaError: for a user with too few pairs.
    """
    rng, rows, persons, telling = stream.generator(), [], [], telling or Telling()
    for place, (user, own) in enumerate(data.rows.items()):
        if len(own) <= telling.told:
            raise PapaError(
                f"user {user!r} has {len(own)} pairs; {telling.told} are its conditioning, and more are needed for "
                "training. Leave out users with fewer, or lower `told`."
            )
        n = [telling.shots[i % len(telling.shots)] for i in range(telling.draws)]
        drawn = [[own[i] for i in rng.choice(telling.told, k, replace=False)] for k in n]
        persons.append(torch.stack([encoder.encode(data.choices(some)) for some in drawn]))
        for a, b, p, label in own[telling.told :]:
            if label != 0.5:
                rows.append((a, b, p, place) if label == 1 else (b, a, p, place))
    better, worse, prompt, person = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    nobody = encoder.encode(data.choices([]))
    return Pairs(
        latents(data.images), better, worse, prompt, person, prompts(data.prompts), torch.stack(persons), nobody
    )
