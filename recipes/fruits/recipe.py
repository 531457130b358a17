"""Train the artefacts of `fruits`: images, autoencoder, diffusion model, judges, feature network.

    python -m recipes.fruits.recipe [--steps N]

About two hours of one CPU thread. The results are package data, so users need not run this.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from torch import Tensor

from papa.benchmark.tasks.fruits.nets import attribute_judge, feature_network
from papa.benchmark.tasks.fruits.render import Attributes, pictures
from papa.benchmark.tasks.fruits.task import NAME
from papa.benchmark.tasks.images import to_range
from papa.files import forget_paths
from papa.rng import Stream
from recipes.fruits import measure
from recipes.fruits.autoencoder import train_autoencoder
from recipes.fruits.diffusion import new_scheduler, train_diffusion
from recipes.fruits.judging import train_attributes, train_clip
from recipes.shared import Log, half, install, main, only_figures_missing, staging

SEED = 2026
BLOCKS, BLOCK = 14, 1600
"""The training images: 22,400."""
HALF = BLOCKS * BLOCK // 2

STREAM = Stream(SEED).at(NAME, "recipe")


def training_pictures(log: Log) -> tuple[Tensor, list[Attributes]]:
    """(22400, 3, 32, 32) in [-1, 1] and their attributes; about two minutes."""
    images, shown = [], []
    for block in range(BLOCKS):
        found, attributes = pictures(BLOCK, STREAM.at("pictures", block=block).generator())
        images.append(found)
        shown += attributes
        log(f"pictures: {len(shown)} of {BLOCKS * BLOCK}")
    return to_range(np.concatenate(images)), shown


def train(place: Path, log: Log, steps: int | None = None) -> None:
    """Make every artefact of the task in `place`.

    The labelling proxy and the feature network are trained on the first half of the images, the held-out judges on the
    second half, the autoencoder and the diffusion model on all of them.
    """
    x, shown = training_pictures(log)
    first, second = (x[:HALF], shown[:HALF]), (x[HALF:], shown[HALF:])
    own = {} if steps is None else {"steps": steps}
    vae = train_autoencoder(x, STREAM.at("autoencoder"), log, **own)
    unet, text_encoder, tokenizer = train_diffusion(x, shown, vae, STREAM.at("diffusion"), log, **own)
    parts: dict[str, Any] = {"vae": vae, "text_encoder": text_encoder, "tokenizer": tokenizer, "unet": unet}
    parts |= {"scheduler": new_scheduler(), "safety_checker": None, "feature_extractor": None}
    pipe = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    pipe.to(dtype=torch.float16).save_pretrained(place / "pipeline")
    forget_paths(place / "pipeline")
    for name, part in (("proxy", first), ("held_out_clip", second)):
        train_clip(name, *part, place / name, STREAM.at(name), log, steps)
    for name, new_net, part in (("attributes", attribute_judge, second), ("features", feature_network, first)):
        net = train_attributes(new_net, *part, STREAM.at(name), log, **own)
        save_file(half(net.state_dict()), place / f"{name}.safetensors")


def retrain(log: Log, steps: int | None = None) -> None:
    """Train everything in a staging folder, install it and measure it."""
    if not only_figures_missing(NAME):
        new = staging(NAME, steps)
        train(new, log, steps)
        measure.begin(new, {"seed": SEED, "images": BLOCKS * BLOCK, "steps": steps or "as in the recipe"})
        install(new, NAME)
    measure.finish(log)


if __name__ == "__main__":
    main(retrain, __doc__)
