"""Train the artefacts of PPD on `fruits`: user encoder, choices of a population, adapters.

    python -m recipes.fruits.ppd [--steps N]

A run that was stopped resumes from the staging folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from papa.benchmark.personal import pick_a_pic
from papa.benchmark.personal.population import OFFLINE, SEEN, TUNING, UNSEEN, Population, numbers
from papa.benchmark.personal.preferences import Gathered, Pool, chosen_by, gathered, training_pairs
from papa.benchmark.personal.study import sample_images
from papa.benchmark.runs.record import arrays_of, npz_bytes
from papa.benchmark.tasks.fruits import FruitsSettings
from papa.benchmark.tasks.fruits.captions import kind_prompt
from papa.benchmark.tasks.fruits.personal import ENCODER, NAME, user_encoder
from papa.benchmark.tasks.fruits.render import pictures
from papa.benchmark.tasks.fruits.task import Fruits
from papa.benchmark.tasks.images import to_range
from papa.files import write_atomic
from papa.methods.ppd_training import Pairs, PpdTraining, Trainer
from papa.models.personal.adapter import About, read_adapter, save_adapter, weights_hash
from papa.models.personal.attention import add_user_attention
from papa.models.personal.encoder import ImageEncoder, standardization
from papa.models.pipeline import PipelineModel
from papa.rng import Stream
from recipes.fruits.judging import train_clip
from recipes.shared import Log, hashes, install, main, once, staging, write_card

SEED = 2026
STREAM = Stream(SEED).at("fruits", "ppd")
POOL = "pool.npz"
SCALE = 2.0
"""Scale of the adapters' attention, chosen on the tuning users (docs/tuning.md)."""
TRAINING: dict[str, Any] = {"steps": 1500, "batch": 64, "every": 100}
KINDS: dict[str, dict[str, Any]] = {
    "ppd": {},
    "dpo": {"dropout": 1.0},
    "shuffled": {"shuffled": True},
    "pixels": {},
}
"""How the training of each adapter differs."""
KIND_OF = {
    "ppd": {"training": "the method"},
    "dpo": {"training": "Diffusion-DPO: no user embedding"},
    "shuffled": {"training": "control: every pair with a random user"},
    "pixels": {"training": "control: pixel statistics as user encoder"},
}
ABOUT = {
    "command": "python -m recipes.fruits.ppd",
    "Data": f"Choices of {SEEN} simulated users between base samples of the `fruits` model "
    f"(`papa/benchmark/personal/population.py`); {UNSEEN} more users are the test set, {TUNING} others served tuning.",
    "User encoder": "The image tower of a third OpenCLIP model, trained on images of its own; it labels and judges "
    "nothing.",
    "Adapters": "Decoupled cross-attention on the frozen `fruits` UNet (docs/ppd.md). Loss of held-out users: log 2 = "
    "0.6931 without learning.",
}
GENERIC = "a photo of fruit"
PROMPTS = (
    GENERIC,
    *(kind_prompt(kind) for kind in ("apple", "banana", "grape", "orange", "strawberry", "watermelon")),
    *(f"a photo of {colour} fruit" for colour in ("red", "yellow", "orange")),
    "a photo of two fruits",
)
"""Prompts of the training pairs."""
OF_GENERIC, OF_OTHER = 1536, 192
"""Base samples of the generic prompt, and of each other prompt."""


ENCODER_PICTURES = 9600
"""Training images of the encoder."""


def pool_of(file: Path, model: PipelineModel, stream: Stream, log: Log) -> Pool:
    """The base samples that users choose from, cached in a file; about five minutes of one CPU thread."""
    counts = [OF_GENERIC if prompt == GENERIC else OF_OTHER for prompt in PROMPTS]
    if file.is_file():
        kept = arrays_of(file.read_bytes(), file)
        return Pool(kept["images"], kept["prompt"], PROMPTS)
    images = []
    for prompt, n in zip(PROMPTS, counts, strict=True):
        images.append(model.pack(sample_images(model, prompt, n, stream.at(prompt))).transpose(0, 2, 3, 1))
        log(f"pool: {n} samples of {prompt!r}")
    pool = Pool(np.concatenate(images), np.repeat(np.arange(len(images)), counts), PROMPTS)
    write_atomic(file, npz_bytes({"images": pool.images, "prompt": pool.prompt}))
    return pool


def train_encoder(place: Path, log: Log, steps: int | None = None) -> None:
    """The OpenCLIP model whose image tower encodes users."""
    images, shown = pictures(ENCODER_PICTURES, STREAM.at("encoder", "pictures").generator())
    once(place, lambda new: train_clip("encoder", to_range(images), shown, new, STREAM.at("encoder"), log, steps))


def standardize(place: Path, pool: Pool) -> None:
    """Write mean and deviation of both encoders' features over the pool."""
    for name in ("clip", "pixels"):
        file = place / f"{name}.safetensors"
        save_file({"mean": torch.zeros(1), "deviation": torch.ones(1)}, file)  # as the features come
        with torch.no_grad():
            mean, deviation = standardization(user_encoder(place, name).features(to_range(pool.images)))
        save_file({"mean": mean, "deviation": deviation}, file)


class Workshop:
    """Choices of the population and the trainings of all adapters."""

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
        """Training pairs of a split of the population."""
        return training_pairs(
            self.data[split],
            encoder,
            lambda images: self.model.encode(to_range(np.stack(images))),
            lambda prompts: torch.cat([self.model.condition(prompt)["prompt"] for prompt in prompts]),
            STREAM.at("descriptions"),
        )

    def train(self, kind: str, log: Log, given: dict[str, Any]) -> None:
        """Train one adapter unless its file exists.

        All kinds use the same pairs, timesteps and noise. The learning curve is measured on the tuning users.
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
    """Make every artefact in `place`; finished parts are kept."""
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
    """Train everything in a staging folder and install it."""
    place = staging(NAME, steps)
    train(place, log, steps)
    for leftover in (place / POOL, *place.glob("pairs-*.parquet")):
        leftover.unlink()
    figures = {file.stem: KIND_OF[file.stem] | last_of_curve(file) for file in sorted(place.glob("*.safetensors"))}
    recipe = {"seed": SEED, "steps": steps or "as in the recipe"}
    card = {"name": NAME, "about": ABOUT, "recipe": recipe, "sha256": hashes(place), "figures": {"adapters": figures}}
    write_card(place, card)
    install(place, NAME)
    log(f"{NAME}: installed")


def last_of_curve(file: Path) -> dict[str, float]:
    """The last point of an adapter's learning curve."""
    end = read_adapter(file).about.recipe["curve"][-1]
    return {key: round(float(end[key]), 4) for key in ("step", "held_out_loss", "held_out_right")}


if __name__ == "__main__":
    main(retrain, __doc__)
