"""The recipe of PPD on `fruits`: the user encoder, a population's choices, and the adapters.

Run it with `papa prepare --task fruits --part ppd --retrain`. Everything that takes long is kept in a staging folder,
so a recipe that was stopped goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from papa.benchmark.population import OFFLINE, Person, Population, numbers
from papa.benchmark.tasks.fruits import FruitsSettings
from papa.benchmark.tasks.fruits.personal import ENCODER, NAME, user_encoder
from papa.benchmark.tasks.fruits.render import pictures
from papa.benchmark.tasks.fruits.task import Fruits, to_range
from papa.methods.ppd.training import Pairs, PpdTraining, Trainer
from papa.models.personal.adapter import About, save_adapter, weights_hash
from papa.models.personal.attention import add_user_attention
from papa.models.personal.encoder import ImageEncoder, standardization
from papa.models.pipeline import PipelineModel
from papa.recipes.fruits import ppd_card as card
from papa.recipes.fruits.choices import SEEN, TOLD, Chosen, Pool, chosen_by, kept, make_pool, utilities
from papa.recipes.fruits.judging import train_clip
from papa.recipes.fruits.recipe import once
from papa.recipes.shared import Log, install, staging
from papa.rng import Stream

SEED = 2026
STREAM = Stream(SEED).at("fruits", "ppd")
POOL = "pool.npz"
SCALE = 2.0
"""Scale of the adapters' attention, chosen on the tuning persons (docs/tuning.md)."""
TRAINING: dict[str, Any] = {"steps": 1500, "batch": 64, "every": 100}
DRAWS, SHOTS = 15, (4, 8, 16, 32, 32)
"""Descriptions of each person that a training sees, and how many choices one is made of."""

KINDS: dict[str, dict[str, Any]] = {
    "ppd": {},
    "dpo": {"dropout": 1.0},
    "shuffled": {"shuffled": True},
    "pixels": {},
}
"""The adapters and how their training differs: the method, Diffusion-DPO without persons, persons shuffled, and pixel
statistics in the place of the encoder."""


ENCODER_PICTURES = 9600
"""Pictures of the encoder's own."""


def train_encoder(place: Path, log: Log, steps: int | None = None) -> None:
    """The OpenCLIP model whose image tower describes persons."""
    images, shown = pictures(ENCODER_PICTURES, STREAM.at("encoder", "pictures").generator())
    once(place, lambda new: train_clip("encoder", to_range(images), shown, new, STREAM.at("encoder"), log, steps))


def standardize(place: Path, pool: Pool) -> None:
    """Mean and deviation of both encoders' features over the pool, beside the encoder."""
    for name in ("clip", "pixels"):
        file = place / f"{name}.safetensors"
        save_file({"mean": torch.zeros(1), "deviation": torch.ones(1)}, file)  # as the features come
        with torch.no_grad():
            mean, deviation = standardization(user_encoder(place, name).features(pool.tensor()))
        save_file({"mean": mean, "deviation": deviation}, file)


@dataclass(frozen=True)
class Society:
    """Some persons and their choices from a pool. features: (images, width) of an encoder, standardized."""

    persons: list[Person]
    chosen: list[Chosen]
    pool: Pool
    utility: np.ndarray


def society(task: Fruits, pool: Pool, split: Any) -> Society:
    """A part of the population, having chosen."""
    population = Population(task.attributes().values)
    persons = [population.person(number) for number in numbers(split)]
    utility = utilities(persons, task.attributes(), pool.tensor())
    chosen = [
        chosen_by(person, own, pool, OFFLINE, STREAM.at("choices"))
        for person, own in zip(persons, utility, strict=True)
    ]
    return Society(persons, chosen, pool, utility)


def described(encoder: ImageEncoder, features: Tensor, chosen: Chosen, which: np.ndarray) -> Tensor:
    """The tokens of a person from some of their pairs; ties are left out."""
    which = which[chosen.label[which] != 0.5]
    won = np.where(chosen.label == 1, chosen.first, chosen.second)[which]
    lost = np.where(chosen.label == 1, chosen.second, chosen.first)[which]
    return encoder.pooled(features[torch.from_numpy(won)], features[torch.from_numpy(lost)])


def training_pairs(who: Society, encoder: ImageEncoder, features: Tensor, latents: Tensor, prompts: Tensor) -> Pairs:
    """The pairs of a part of the population, as a training takes them."""
    rng = STREAM.at("descriptions").generator()
    rows, persons = [], []
    for index, own in enumerate(who.chosen):
        n = np.array(SHOTS)[np.arange(DRAWS) % len(SHOTS)]
        persons.append(torch.stack([described(encoder, features, own, rng.choice(TOLD, k, replace=False)) for k in n]))
        for i in range(TOLD, len(own.label)):
            if own.label[i] != 0.5:
                a, b = own.first[i], own.second[i]
                rows.append((a, b, own.prompt[i], index) if own.label[i] == 1 else (b, a, own.prompt[i], index))
    won, lost, prompt, person = np.array(rows).T
    nothing = encoder.pooled(features[:0], features[:0])
    return Pairs(latents, won, lost, prompt, person, prompts, torch.stack(persons), nothing)


@torch.no_grad()
def latents_of(model: PipelineModel, images: Tensor) -> Tensor:
    """Images through the autoencoder's mean, scaled: what a diffusion model is trained on."""
    vae: Any = model.pipe.vae
    return torch.cat([vae.encode(part).latent_dist.mean for part in images.split(256)]) * vae.config.scaling_factor


class Workshop:
    """What all trainings of the recipe share. place: the staging folder, with the encoder and the pool in it."""

    def __init__(self, place: Path, pool: Pool) -> None:
        self.place, self.pool, self.task = place, pool, Fruits(FruitsSettings())
        self.model = self.task.model
        self.latents = latents_of(self.model, pool.tensor())
        self.prompts = torch.cat([self.model.embedding(prompt) for prompt in pool.prompts])
        self.seen, self.tuning = (society(self.task, pool, split) for split in ("seen", "tuning"))

    def train(self, kind: str, log: Log, given: dict[str, Any]) -> Path:
        """Train one adapter; its file and its learning curve are in the staging folder.

        All kinds have the same pairs, timesteps and noise. The tuning persons are the held-out ones of the curve.
        """
        file = self.place / f"{kind}.safetensors"
        if file.is_file():
            return file
        encoder = user_encoder(self.place / ENCODER, "pixels" if kind == "pixels" else "clip")
        features = encoder.standardized(self.pool.tensor())
        seen, held_out = (
            training_pairs(who, encoder, features, self.latents, self.prompts) for who in (self.seen, self.tuning)
        )
        stream, settings = STREAM.at("training"), PpdTraining.model_validate(TRAINING | KINDS[kind] | given)
        told = self.model.with_user_attention(lambda unet: add_user_attention(unet, encoder.width, stream.at("init")))
        unet: nn.Module = told.pipe.unet
        assert self.model.alphas_cumprod is not None
        trainer = Trainer(unet, self.model.alphas_cumprod, settings, stream, self.place / f".{kind}.checkpoint")
        curve = trainer.run(seen, held_out, lambda line: log(f"{kind}: {line}"))
        recipe = settings.model_dump() | {"pairs": len(seen), "persons": len(self.seen.persons), "curve": curve.lines}
        about = About(weights_hash(unet), encoder.name, encoder.tokens, encoder.width, SCALE, recipe)
        save_adapter(file, unet, about)
        return file


def train(place: Path, log: Log, steps: int | None = None) -> None:
    """Make every artefact in `place`; parts that are there already are kept."""
    given = {} if steps is None else {"steps": steps, "every": steps, "batch": 8}
    train_encoder(place / ENCODER, log, steps)
    model = Fruits(FruitsSettings()).model
    pool = kept(place / POOL, SEEN) or kept(place / POOL, SEEN, make_pool(model, SEEN, STREAM.at("pool"), log))
    assert pool is not None
    if not (place / ENCODER / "pixels.safetensors").is_file():
        standardize(place / ENCODER, pool)
    workshop = Workshop(place, pool)
    for kind in KINDS:
        workshop.train(kind, log, given)


def retrain(log: Log, steps: int | None = None) -> None:
    """Train everything in a folder of its own, and put it in the place of the shipped artefacts."""
    place = staging(NAME, steps)
    place.mkdir(parents=True, exist_ok=True)
    train(place, log, steps)
    for leftover in (place / POOL, *place.glob(".*.checkpoint")):
        leftover.unlink()
    card.finish(place, SEED, f"{steps} of every part" if steps else "as in the recipe")
    install(place, NAME)
    log(f"{NAME}: in place")
