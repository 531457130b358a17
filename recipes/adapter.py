"""An adapter of PPD for a large model, from files of pairs that real people chose: `papa adapter`.

The model is Stable Cascade's Stage C, which the paper trains (config/ppd_cascade.yaml), or any pipeline in Stable
Diffusion 1.5's layout; people are described by a vision-language model. docs/ppd.md says what it needs. A training that
was stopped goes on from its last checkpoint; descriptions that were made are kept.
"""

from __future__ import annotations

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
from papa.methods.ppd.training import Pairs, PpdTraining, Trainer
from papa.models.personal.adapter import About, save_adapter, weights_hash
from papa.models.personal.attention import add_user_attention
from papa.models.personal.cascade import StageC, load_prior, prompt_tokens, ratio_schedule
from papa.models.personal.efficientnet import PIXELS, EfficientNetEncoder
from papa.models.personal.vision_language import NAME, REVISION, Cached, VisionLanguageEncoder
from papa.models.pipeline import PipelineModel
from papa.rng import Stream
from papa.settings import Positive, Seed, Settings, validated
from recipes.shared import Log

Side = Annotated[int, Field(ge=PIXELS, multiple_of=PIXELS)]
BATCH = 16
"""Pictures of one forward pass of an image encoder."""


class StableCascade(Settings):
    """Stage C."""

    kind: Literal["stable_cascade"] = "stable_cascade"
    prior: str
    """A folder of `StableCascadePriorPipeline` (stabilityai/stable-cascade-prior)."""
    images: str
    """The file effnet_encoder.safetensors of stabilityai/stable-cascade."""
    dtype: Literal["bf16", "fp32"] = "bf16"
    """Type of the frozen weights; the adapter's are always in float32."""


class Pipeline(Settings):
    """A pipeline in Stable Diffusion 1.5's layout."""

    kind: Literal["pipeline"]
    model: str
    """A folder of `StableDiffusionPipeline.save_pretrained`."""


class VisionLanguage(Settings):
    """The user encoder."""

    model: str = NAME
    """A name on the hub, or a folder."""
    revision: str = REVISION
    thought: Annotated[int, Field(ge=0, le=4096)] = 128
    """Tokens that the model thinks, step by step, before its state is taken."""
    dtype: Literal["bf16", "fp32"] = "bf16"
    cache: Folder = "adapters/descriptions"
    """Where descriptions are kept, by the content of the choices."""


class People(Settings):
    """Who is learned from. The busiest users come first; the next ones after them are held out for the curve."""

    files: Annotated[list[str], Field(min_length=1)]
    """Parquet files in Pick-a-Pic's layout; patterns such as `data/train-*.parquet`."""
    seen: Positive = 300
    """Users that the adapter is trained on."""
    held_out: Positive = 40
    """Users of the learning curve."""
    pairs: Positive = 100
    """Pairs of one user at most, the first ones of the files, ties included."""
    side: Side = 512
    """Pixels of a picture's side: it is scaled and cropped to a square."""


class AdapterSettings(Settings):
    """A training of an adapter, as its file describes it."""

    out: str
    """The adapter's file (safetensors)."""
    base: Annotated[StableCascade | Pipeline, Field(discriminator="kind")]
    people: People
    encoder: VisionLanguage = VisionLanguage()
    telling: Telling = Telling()
    training: PpdTraining = PpdTraining()
    seed: Seed = 2026
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"


# ---------------------------------------------------------------- the model


@dataclass(frozen=True)
class Base:
    """What a training needs of a model.

    inner: the network that is told about a person. net: the same, called (x_t, t, prompt). abar: (T,). latents: (n, 3,
    H, W) in [-1, 1] -> what it denoises. prompt: a prompt -> (1, tokens, width).
    """

    inner: nn.Module
    net: nn.Module
    abar: Tensor
    latents: Callable[[Tensor], Tensor]
    prompt: Callable[[str], Tensor]


def base_of(settings: StableCascade | Pipeline, device: str) -> Base:
    """Load a model.

    Raises:  ArtefactError where a file is missing or of something else. ModelError for one that predicts a velocity.
    """
    if isinstance(settings, Pipeline):
        model = PipelineModel.from_folder(settings.model, device=device)
        assert model.alphas_cumprod is not None
        if not model.predicts_noise:
            raise ModelError(
                f"{settings.model} predicts a velocity; adapters are trained for models that predict noise."
            )
        unet: nn.Module = model.pipe.unet
        return Base(unet, unet, model.alphas_cumprod, model.encode, lambda said: model.condition(said)["prompt"])
    images = EfficientNetEncoder.from_file(settings.images).to(device)
    pipe: Any = load_prior(settings.prior, {"bf16": torch.bfloat16, "fp32": torch.float32}[settings.dtype]).to(device)
    return Base(
        pipe.prior, StageC(pipe.prior), ratio_schedule(pipe.scheduler), images, lambda said: prompt_tokens(pipe, said)
    )


# ---------------------------------------------------------------- the people


def squared(image: np.ndarray, side: int) -> np.ndarray:
    """A picture scaled and cropped, around its middle, to side x side pixels."""
    return np.asarray(ImageOps.fit(Image.fromarray(image), (side, side), Image.Resampling.BICUBIC))


def of_people(settings: People, log: Log) -> tuple[Gathered, Gathered]:
    """The pairs of those who are seen and of those who are held out.

    Raises:  PapaError where there are no such files, or too few users.
    """
    files = sorted({Path(found) for pattern in settings.files for found in glob.glob(pattern, recursive=True)})
    if not files:
        raise PapaError(f"people: no file matches {', '.join(settings.files)}; fetch the dataset, or name its files.")
    wanted = settings.seen + settings.held_out
    busiest = [user for user, _ in pick_a_pic.labelled(files).most_common(wanted)]
    if len(busiest) < wanted:
        raise PapaError(
            f"people: {len(busiest)} users chose something in {len(files)} files, and {wanted} are asked for; name "
            "more files, or lower seen and held_out."
        )

    def chosen(users: Sequence[str]) -> Iterator[pick_a_pic.Choice]:
        for choice in pick_a_pic.read(files, dict.fromkeys(users, settings.pairs)):
            first, second = (squared(image, settings.side) for image in (choice.first, choice.second))
            yield replace(choice, first=first, second=second)

    log(f"people: {settings.seen} seen and {settings.held_out} held out, of {len(files)} files")
    return gathered(chosen(busiest[: settings.seen])), gathered(chosen(busiest[settings.seen :]))


# ---------------------------------------------------------------- the training


def train(settings: AdapterSettings, log: Log) -> Path:
    """Train an adapter, unless its file is there. Returns the file; the learning curve lies beside it.

    Raises:  PapaError for files, users or a model that are not there or do not fit; each names what to do.
    """
    file, stream = Path(settings.out), Stream(settings.seed).at("adapter")
    if file.is_file():
        log(f"{file}: is there; delete it to train it again")
        return file
    device = pick_device(settings.device)
    base = base_of(settings.base, device)
    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[settings.encoder.dtype]
    asked = settings.encoder
    encoder = Cached(
        VisionLanguageEncoder(asked.model, asked.revision, asked.thought, device, dtype), Path(asked.cache)
    )

    @torch.no_grad()
    def latents(images: list[np.ndarray]) -> Tensor:
        parts = [images[begin : begin + BATCH] for begin in range(0, len(images), BATCH)]
        return torch.cat([base.latents(to_range(np.stack(part)).to(device)).float().cpu() for part in parts])

    def prompts(said: list[str]) -> Tensor:
        return torch.cat([base.prompt(prompt).float().cpu() for prompt in said])

    def pairs(data: Gathered) -> Pairs:
        return training_pairs(data, encoder, latents, prompts, stream.at("descriptions"), settings.telling)

    seen, held_out = map(pairs, of_people(settings.people, log))
    log(f"{len(seen)} pairs to learn from, {len(held_out)} for the curve")
    weights = weights_hash(base.inner)
    add_user_attention(base.inner, encoder.width, stream.at("init"))
    checkpoint = file.with_name(f".{file.stem}.checkpoint")
    trainer = Trainer(base.net, base.abar, settings.training, stream.at("training"), checkpoint, device)
    curve = trainer.run(seen, held_out, log)
    recipe = settings.training.model_dump() | {"pairs": len(seen), "persons": len(seen.persons), "curve": curve}
    save_adapter(file, base.inner, About(weights, encoder.name, encoder.tokens, encoder.width, 1.0, recipe))
    write_json(file.with_suffix(".curve.json"), curve)
    checkpoint.unlink(missing_ok=True)
    return file


def from_config(path: str, overrides: dict[str, Any], log: Log) -> Path:
    """The training that a file such as config/ppd_cascade.yaml describes. overrides: top-level settings that win."""
    return train(validated(AdapterSettings, read(path) | overrides, path), log)
