"""The recipe of PPD on `fruits`: the user encoder, a population's choices, and the adapters.

Run it with `papa prepare --task fruits --part ppd --retrain`. Everything that takes long is kept in a staging folder,
so a recipe that was stopped goes on from there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from papa.benchmark.personal import pick_a_pic
from papa.benchmark.personal.population import OFFLINE, Population, numbers
from papa.benchmark.personal.preferences import Gathered, Pool, chosen_by, gathered, training_pairs
from papa.benchmark.tasks.fruits import FruitsSettings
from papa.benchmark.tasks.fruits.personal import ENCODER, NAME, user_encoder
from papa.benchmark.tasks.fruits.render import pictures
from papa.benchmark.tasks.fruits.task import Fruits
from papa.benchmark.tasks.images import to_range
from papa.methods.ppd.training import Pairs, PpdTraining, Trainer
from papa.models.personal.adapter import About, save_adapter, weights_hash
from papa.models.personal.attention import add_user_attention
from papa.models.personal.encoder import ImageEncoder, standardization
from papa.rng import Stream
from recipes.fruits import ppd_card as card
from recipes.fruits.choices import pool_of
from recipes.fruits.judging import train_clip
from recipes.fruits.recipe import once
from recipes.shared import Log, install, staging

SEED = 2026
STREAM = Stream(SEED).at("fruits", "ppd")
POOL = "pool.npz"
SCALE = 2.0
"""Scale of the adapters' attention, chosen on the tuning persons (docs/tuning.md)."""
TRAINING: dict[str, Any] = {"steps": 1500, "batch": 64, "every": 100}
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
            mean, deviation = standardization(user_encoder(place, name).features(to_range(pool.images)))
        save_file({"mean": mean, "deviation": deviation}, file)


class Workshop:
    """What all trainings of the recipe share. place: the staging folder, with the encoder in it."""

    def __init__(self, place: Path, pool: Pool, task: Fruits) -> None:
        self.place, self.model = place, task.model
        population = Population(task.attributes().values)
        self.data: dict[str, Gathered] = {}
        for split in ("seen", "tuning"):
            persons = [population.person(number) for number in numbers(split)]
            rows = chosen_by(persons, task.attributes(), pool, OFFLINE, STREAM.at("choices"))
            file = place / f"pairs-{split}.parquet"
            pick_a_pic.write(file, list(pool.images), rows)
            self.data[split] = gathered(pick_a_pic.read([file]))

    def pairs(self, split: str, encoder: ImageEncoder) -> Pairs:
        """The pairs of a part of the population, as a training takes them."""
        return training_pairs(
            self.data[split],
            encoder,
            lambda images: self.model.encode(to_range(np.stack(images))),
            lambda prompts: torch.cat([self.model.condition(prompt)["prompt"] for prompt in prompts]),
            STREAM.at("descriptions"),
        )

    def train(self, kind: str, log: Log, given: dict[str, Any]) -> None:
        """Train one adapter, unless it is there.

        All kinds have the same pairs, timesteps and noise. The tuning persons are the held-out ones of the curve.
        """
        file = self.place / f"{kind}.safetensors"
        if file.is_file():
            return
        encoder = user_encoder(self.place / ENCODER, "pixels" if kind == "pixels" else "clip")
        seen, held_out = (self.pairs(split, encoder) for split in ("seen", "tuning"))
        stream, settings = STREAM.at("training"), PpdTraining.model_validate(TRAINING | KINDS[kind] | given)
        told = self.model.with_user_attention(lambda unet: add_user_attention(unet, encoder.width, stream.at("init")))
        unet: nn.Module = told.pipe.unet
        assert self.model.alphas_cumprod is not None
        trainer = Trainer(unet, self.model.alphas_cumprod, settings, stream, self.place / f".{kind}.checkpoint")
        curve = trainer.run(seen, held_out, lambda line: log(f"{kind}: {line}"))
        recipe = settings.model_dump() | {"pairs": len(seen), "persons": len(seen.persons), "curve": curve}
        about = About(weights_hash(unet), encoder.name, encoder.tokens, encoder.width, SCALE, recipe)
        save_adapter(file, unet, about)


def train(place: Path, log: Log, steps: int | None = None) -> None:
    """Make every artefact in `place`; parts that are there already are kept."""
    given = {} if steps is None else {"steps": steps, "every": steps, "batch": 8}
    train_encoder(place / ENCODER, log, steps)
    task = Fruits(FruitsSettings())
    pool = pool_of(place / POOL, task.model, STREAM.at("pool"), log)
    if not (place / ENCODER / "pixels.safetensors").is_file():
        standardize(place / ENCODER, pool)
    workshop = Workshop(place, pool, task)
    for kind in KINDS:
        workshop.train(kind, log, given)


def retrain(log: Log, steps: int | None = None) -> None:
    """Train everything in a folder of its own, and put it in the place of the shipped artefacts."""
    place = staging(NAME, steps)
    place.mkdir(parents=True, exist_ok=True)
    train(place, log, steps)
    for leftover in (place / POOL, *place.glob("pairs-*.parquet"), *place.glob(".*.checkpoint")):
        leftover.unlink()
    card.finish(place, SEED, f"{steps} of every part" if steps else "as in the recipe")
    install(place, NAME)
    log(f"{NAME}: in place")
