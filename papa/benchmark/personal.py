"""What a personal model is worth: pictures for many persons of the population, beside the base's from the same noise.

A person shows what they like by a few choices among base samples; the model draws for them; a picture wins where the
person's utility is above that of the base's picture from the same noise (a tie counts half). The utility is judged by
the model that labels ("gold"), and by one that no part was trained on ("held_out").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.population import Person, choose
from papa.benchmark.tasks.interface import Attributes
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.models.interface import Model
from papa.models.personal.adapter import Personal
from papa.models.personal.encoder import Choices
from papa.rng import Stream


@dataclass(frozen=True)
class Eyes:
    """A judge of utilities, standardized for each person on the pool's pictures. pool: attribute -> (n, values)."""

    attributes: Attributes
    pool: Mapping[str, np.ndarray]

    def utility(self, person: Person, shares: Mapping[str, np.ndarray]) -> np.ndarray:
        """(n,) utility of pictures, in deviations over the pool."""
        known = person.utility(self.pool)
        return (person.utility(shares) - known.mean()) / known.std()


def shares_of(attributes: Attributes, images: Tensor) -> dict[str, np.ndarray]:
    """Attribute -> (n, values) float64, how likely each value is."""
    with torch.no_grad():
        parts = [attributes(part) for part in images.split(256)]
    return {name: torch.cat([part[name] for part in parts]).double().cpu().numpy() for name in parts[0]}


def pairs_of(person: Person, pool: Tensor, utility: np.ndarray, n: int, stream: Stream) -> Choices:
    """n choices of a person among pictures of the pool. Pairs that they like equally are shown again as others.

    Args:    utility: (pictures,) in deviations.
    """
    rng = stream.at(person=person.number).generator()
    won, lost = [], []
    while len(won) < n:
        a, b = rng.choice(len(pool), 2, replace=False)
        label = choose(utility[a : a + 1], utility[b : b + 1], person.temperature, rng.random(1))[0]
        if label != 0.5:
            won.append(a if label else b)
            lost.append(b if label else a)
    return Choices(pool[torch.tensor(won)], pool[torch.tensor(lost)])


def drawn(model: Model, n: int, stream: Stream) -> Tensor:
    """n pictures of a model, as they are stored; the same noise for every model and person."""
    noise = stream_noise(stream, (n, *model.shape), model.dtype, model.device)
    with torch.no_grad():
        images = model.decode(euler_ancestral(model.denoiser(Cost()), model.sigmas(), noise))
    return model.unpack(model.pack(images))


def won(mine: np.ndarray, others: np.ndarray) -> float:
    """Share of the pictures whose utility is above the other's; a tie counts half."""
    return float(np.mean((mine > others) + 0.5 * (mine == others)))


def told(personal: Personal, choices: Choices) -> Tensor:
    """The description of a person by their choices."""
    return personal.encoder.encode(choices)


def among(persons: Sequence[Person], pool: Tensor, eyes: Eyes, shots: int, stream: Stream) -> Iterator[tuple[Person, Choices]]:
    """Each person with their choices."""
    for person in persons:
        yield person, pairs_of(person, pool, eyes.utility(person, eyes.pool), shots, stream)
