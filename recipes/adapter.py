"""Train a PPD adapter for a large model on pairwise choices of real users.

    python -m recipes.adapter recipes/cascade.yaml

The model is Stable Cascade's Stage C, as in the paper (recipes/cascade.yaml), or a pipeline with Stable Diffusion 1.5's
layout; a vision-language model encodes the users. See docs/ppd.md for requirements. A training that was stopped resumes
from its last checkpoint; user embeddings are cached.
"""

from __future__ import annotations

import argparse
import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from pydantic import Field
from torch import Tensor, nn

from papa.benchmark.config import Folder, read
from papa.benchmark.machine import pick_device
from papa.benchmark.personal import pick_a_pic
from papa.benchmark.personal.preferences import Gathered, Telling, gathered, training_pairs
from papa.benchmark.tasks.images import to_range
from papa.errors import ModelError, PapaError
from papa.files import write_json
from papa.methods.ppd_training import Pairs, PpdTraining, Trainer
from papa.models.personal.adapter import About, save_adapter, weights_hash
from papa.models.personal.attention import add_user_attention
from papa.models.personal.cascade import StageC, load_prior, prompt_tokens, ratio_schedule
from papa.models.personal.efficientnet import PIXELS, EfficientNetEncoder
from papa.models.personal.vision_language import NAME, REVISION, Cached, VisionLanguageEncoder
from papa.models.pipeline import PipelineModel, silence_logging
from papa.rng import Stream
from papa.settings import Positive, Seed, Settings, validated
from recipes.shared import Log

Side = Annotated[int, Field(ge=PIXELS, multiple_of=PIXELS)]
BATCH = 16
"""Images per forward pass of the image encoder."""
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


class StableCascade(Settings):
    kind: Literal["stable_cascade"] = "stable_cascade"
    prior: str
    """A folder of `StableCascadePriorPipeline` (stabilityai/stable-cascade-prior)."""
    images: str
    """The file effnet_encoder.safetensors of stabilityai/stable-cascade."""
    dtype: Literal["bf16", "fp32"] = "bf16"
    """Type of the frozen weights; the adapter's are always in float32."""


class Pipeline(Settings):
    """A pipeline with Stable Diffusion 1.5's layout."""

    kind: Literal["pipeline"]
    model: str
    """A folder of `StableDiffusionPipeline.save_pretrained`."""


class VisionLanguage(Settings):
    model: str = NAME
    """A name on the hub, or a folder."""
    revision: str = REVISION
    thought: Annotated[int, Field(ge=0, le=4096)] = 128
    """Tokens generated before the hidden state is read."""
    dtype: Literal["bf16", "fp32"] = "bf16"
    cache: Folder = "adapters/descriptions"
    """Folder of cached user embeddings, by content of the choices."""


class Users(Settings):
    """The users: the most active ones are trained on, the next ones are held out for the learning curve."""

    files: Annotated[list[str], Field(min_length=1)]
    """Parquet files in Pick-a-Pic's layout; patterns are allowed (`data/train-*.parquet`)."""
    seen: Positive = 300
    held_out: Positive = 40
    pairs: Positive = 100
    """Maximum number of pairs of a user, ties included."""
    side: Side = 512
    """Side of the square images in pixels."""


class AdapterSettings(Settings):
    out: str
    """The adapter's file (safetensors)."""
    base: Annotated[StableCascade | Pipeline, Field(discriminator="kind")]
    users: Users
    encoder: VisionLanguage = VisionLanguage()
    telling: Telling = Telling()
    training: PpdTraining = PpdTraining()
    seed: Seed = 2026
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"


@dataclass(frozen=True)
class Base:
    """A base model as the training needs it.

    Attributes:
        inner: the network that receives the adapter.
        net: the same network as a function of (x_t, t, prompt).
        abar: (T,) cumulative noise schedule.
        latents: maps (n, 3, H, W) images in [-1, 1] to latents.
        prompt: maps a prompt to (1, tokens, width).
    """

    inner: nn.Module
    net: nn.Module
    abar: Tensor
    latents: Callable[[Tensor], Tensor]
    prompt: Callable[[str], Tensor]


def base_of(settings: StableCascade | Pipeline, device: str) -> Base:
    if isinstance(settings, Pipeline):
        model = PipelineModel.from_folder(settings.model, device=device)
        assert model.alphas_cumprod is not None
        if not model.predicts_noise:
            raise ModelError(f"{settings.model} predicts velocity; adapters need a model that predicts noise.")
        unet: nn.Module = model.pipe.unet
        return Base(unet, unet, model.alphas_cumprod, model.encode, lambda said: model.condition(said)["prompt"])
    images = EfficientNetEncoder.from_file(settings.images).to(device)
    pipe: Any = load_prior(settings.prior, DTYPES[settings.dtype]).to(device)
    return Base(
        pipe.prior, StageC(pipe.prior), ratio_schedule(pipe.scheduler), images, lambda said: prompt_tokens(pipe, said)
    )


def pairs_of(settings: Users, log: Log) -> tuple[Gathered, Gathered]:
    """Pairs of the training users and of the held-out users."""
    files = sorted({Path(found) for pattern in settings.files for found in glob.glob(pattern, recursive=True)})
    if not files:
        raise PapaError(f"users: no file matches {', '.join(settings.files)}; download the dataset or correct `files`.")
    wanted = settings.seen + settings.held_out
    busiest = [user for user, _ in pick_a_pic.labelled(files).most_common(wanted)]
    if len(busiest) < wanted:
        raise PapaError(
            f"users: {len(busiest)} users have labels in {len(files)} files, but {wanted} are needed; add files, or "
            "lower `seen` and `held_out`."
        )

    side = (settings.side, settings.side)

    def squared(image: np.ndarray) -> np.ndarray:
        return np.asarray(ImageOps.fit(Image.fromarray(image), side, Image.Resampling.BICUBIC))

    def chosen(users: Sequence[str]) -> Iterator[pick_a_pic.Choice]:
        for choice in pick_a_pic.read(files, dict.fromkeys(users, settings.pairs)):
            yield replace(choice, first=squared(choice.first), second=squared(choice.second))

    log(f"users: {settings.seen} for training and {settings.held_out} held out, from {len(files)} files")
    return gathered(chosen(busiest[: settings.seen])), gathered(chosen(busiest[settings.seen :]))


def train(settings: AdapterSettings, log: Log) -> Path:
    """Train an adapter unless its file exists; returns the file. The learning curve is saved beside it."""
    file, stream = Path(settings.out), Stream(settings.seed).at("adapter")
    if file.is_file():
        log(f"{file} exists; delete it to train again")
        return file
    device = pick_device(settings.device)
    base = base_of(settings.base, device)
    asked = settings.encoder
    users = VisionLanguageEncoder(asked.model, asked.revision, asked.thought, device, DTYPES[asked.dtype])
    encoder = Cached(users, Path(asked.cache))

    @torch.no_grad()
    def latents(images: list[np.ndarray]) -> Tensor:
        parts = [images[begin : begin + BATCH] for begin in range(0, len(images), BATCH)]
        return torch.cat([base.latents(to_range(np.stack(part)).to(device)).float().cpu() for part in parts])

    def prompts(said: list[str]) -> Tensor:
        return torch.cat([base.prompt(prompt).float().cpu() for prompt in said])

    def pairs(data: Gathered) -> Pairs:
        return training_pairs(data, encoder, latents, prompts, stream.at("descriptions"), settings.telling)

    seen, held_out = map(pairs, pairs_of(settings.users, log))
    log(f"{len(seen)} training pairs, {len(held_out)} held-out pairs")
    weights = weights_hash(base.inner)
    add_user_attention(base.inner, encoder.width, stream.at("init"))
    checkpoint = file.with_name(f".{file.stem}.checkpoint")
    trainer = Trainer(base.net, base.abar, settings.training, stream.at("training"), checkpoint, device)
    curve = trainer.run(seen, held_out, log)
    recipe = settings.training.model_dump() | {"pairs": len(seen), "persons": len(seen.users), "curve": curve}
    save_adapter(file, base.inner, About(weights, encoder.name, encoder.tokens, encoder.width, 1.0, recipe))
    write_json(file.with_suffix(".curve.json"), curve)
    checkpoint.unlink(missing_ok=True)
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="YAML file of the training, for example recipes/cascade.yaml")
    path = parser.parse_args().config
    silence_logging()
    print(f"{train(validated(AdapterSettings, read(path), path), print)}: ready")


if __name__ == "__main__":
    try:
        main()
    except PapaError as error:
        raise SystemExit(f"error: {error}") from None
