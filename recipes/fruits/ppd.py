"""Train the artefacts of PPD on `fruits`: `python -m recipes.fruits.ppd [--steps N]`; a stopped run resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from papa.benchmark.personal import pick_a_pic
from papa.benchmark.personal.population import OFFLINE, SEEN, SPLITS, TUNING, UNSEEN, Population
from papa.benchmark.personal.preferences import Gathered, Pool, chosen_by, gathered, training_pairs
from papa.benchmark.personal.study import sample_images
from papa.benchmark.tasks.fruits import FruitsSettings
from papa.benchmark.tasks.fruits.captions import kind_prompt
from papa.benchmark.tasks.fruits.personal import ENCODER, NAME, user_encoder
from papa.benchmark.tasks.fruits.render import pictures
from papa.benchmark.tasks.fruits.task import Fruits
from papa.benchmark.tasks.images import to_range
from papa.methods.ppd_training import PpdTraining, Trainer
from papa.models.personal.adapter import About, read_adapter, save_adapter, weights_hash
from papa.models.personal.attention import add_user_attention
from papa.models.personal.encoder import standardization
from papa.models.pipeline import PipelineModel
from papa.rng import Stream
from recipes.fruits.judging import train_clip
from recipes.shared import Log, hashes, install, main, staging, write_card

SEED = 2026
STREAM = Stream(SEED).at("fruits", "ppd")
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


def sampled_pool(model: PipelineModel, log: Log) -> Pool:
    """The base samples that users choose from; about five minutes of one CPU thread."""
    counts = [OF_GENERIC if prompt == GENERIC else OF_OTHER for prompt in PROMPTS]
    images = []
    for prompt, n in zip(PROMPTS, counts, strict=True):
        samples = sample_images(model, prompt, n, STREAM.at("pool").at(prompt))
        images.append(model.pack(samples).transpose(0, 2, 3, 1))
        log(f"pool: {n} samples of {prompt!r}")
    return Pool(np.concatenate(images), np.repeat(np.arange(len(images)), counts), PROMPTS)


def standardize(place: Path, pool: Pool) -> None:
    """Write mean and deviation of both encoders' features over the pool."""
    for name in ("clip", "pixels"):
        file = place / f"{name}.safetensors"
        save_file({"mean": torch.zeros(1), "deviation": torch.ones(1)}, file)  # as the features come
        with torch.no_grad():
            mean, deviation = standardization(user_encoder(place, name).features(to_range(pool.images)))
        save_file({"mean": mean, "deviation": deviation}, file)


def choices(place: Path, pool: Pool, task: Fruits) -> dict[str, Gathered]:
    """Choices of both splits of the population."""
    population, found = Population(task.attributes().values), {}
    for split in ("seen", "tuning"):
        persons = [population.person(number) for number in SPLITS[split]]
        rows = chosen_by(persons, task.attributes(), pool, OFFLINE, STREAM.at("choices"))
        file = place / f".pairs-{split}.parquet"
        pick_a_pic.write(file, list(pool.images), rows)
        found[split] = gathered(pick_a_pic.read([file]))
    return found


def train_adapter(
    place: Path, kind: str, model: PipelineModel, data: dict[str, Gathered], log: Log, given: dict[str, Any]
) -> None:
    """Train one adapter unless its file exists.

    All kinds use the same pairs, timesteps and noise. The learning curve is measured on the tuning users.
    """
    file = place / f"{kind}.safetensors"
    if file.is_file():
        return
    encoder = user_encoder(place / ENCODER, "pixels" if kind == "pixels" else "clip")
    seen, held_out = (
        training_pairs(
            data[split],
            encoder,
            lambda images: model.encode(to_range(np.stack(images))),
            lambda prompts: torch.cat([model.condition(prompt)["prompt"] for prompt in prompts]),
            STREAM.at("descriptions"),
        )
        for split in ("seen", "tuning")
    )
    stream, settings = STREAM.at("training"), PpdTraining.model_validate(TRAINING | KINDS[kind] | given)
    told = model.with_user_attention(lambda unet: add_user_attention(unet, encoder.width, stream.at("init")))
    unet: nn.Module = told.pipe.unet
    assert model.alphas_cumprod is not None
    trainer = Trainer(unet, model.alphas_cumprod, settings, stream, place / f".{kind}.checkpoint")
    curve = trainer.run(seen, held_out, lambda line: log(f"{kind}: {line}"))
    recipe = settings.model_dump() | {"pairs": len(seen), "persons": len(seen.users), "curve": curve}
    save_adapter(file, unet, About(weights_hash(unet), encoder.name, encoder.tokens, encoder.width, SCALE, recipe))


def retrain(log: Log, steps: int | None = None) -> None:
    """Train everything in a staging folder and install it; finished adapters are kept."""
    place, task = staging(NAME, steps), Fruits(FruitsSettings())
    images, shown = pictures(ENCODER_PICTURES, STREAM.at("encoder", "pictures").generator())
    train_clip("encoder", to_range(images), shown, place / ENCODER, STREAM.at("encoder"), log, steps)
    pool = sampled_pool(task.model, log)
    standardize(place / ENCODER, pool)
    data = choices(place, pool, task)
    given = {} if steps is None else {"steps": steps, "every": steps, "batch": 8}
    for kind in KINDS:
        train_adapter(place, kind, task.model, data, log, given)
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
