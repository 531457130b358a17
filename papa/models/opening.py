"""A diffusers pipeline of one's own as a model, whatever its family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch

from papa.errors import ArtefactError, ModelError
from papa.models.families import FAMILIES, family_of
from papa.models.interface import Model
from papa.models.pipeline import PipelineModel
from papa.models.reading import INDEX, index_of, reading
from papa.models.settings import PipelineSettings, SamplingSettings
from papa.models.unet import UNetModel
from papa.settings import validated

PIXELS = "DDPMPipeline"
LEFT_OUT = {
    "StableDiffusionPipeline": ["safety_checker", "feature_extractor"],
    "StableDiffusion3Pipeline": ["text_encoder_3", "tokenizer_3"],
}
"""Parts that a folder may lack."""


def from_pipeline(
    pipe: Any, prompt: str | None = None, *, device: str = "cpu", spread: float | None = None, **given: Any
) -> Model:
    """A pipeline of diffusers as a model.

    Args:    pipe: a `DDPMPipeline`, or one of the families in `papa.models.families`, in the type that it is to run
             in. prompt: what images are drawn for; none for a DDPMPipeline. device: where it runs. spread: standard
             deviation of the data per coordinate; by default 1 for latents and 0.5 for pixels. given: settings of
             sampling: steps, chunk, and of a prompted one guidance_scale (by default diffusers' own for the class),
             attention_slicing, vae_slicing, vae_tiling.
    Raises:  ModelError for a pipeline that is not supported. SettingsError for a setting that does not fit.
    """
    if type(pipe).__name__ == PIXELS:
        if prompt is not None:
            raise ModelError("a DDPMPipeline draws without a prompt; leave `prompt` out.")
        settings = validated(SamplingSettings, given, "settings of the model")
        return UNetModel(pipe.unet, pipe.scheduler, settings, spread=0.5 if spread is None else spread, device=device)
    family = family_of(pipe)
    if prompt is None:
        raise ModelError(
            f"a {family.pipeline} draws for a prompt; give one: prompt='a photo of fruit', or --prompt 'a photo of "
            "fruit' for `papa serve`."
        )
    known = {"guidance_scale": family.guidance} | given | {"prompt": prompt}
    prompted = validated(PipelineSettings, known, "settings of the model")
    return PipelineModel(pipe, prompted, spread=1.0 if spread is None else spread, device=device)


def from_pretrained(
    name: str | Path, prompt: str | None = None, *, dtype: torch.dtype = torch.float32, **given: Any
) -> Model:
    """A folder that diffusers wrote, or a name on a hub, as a model.

    Args:    name: a folder is read as it is, and nothing is downloaded. dtype: the type that it runs in.
             Others as in `from_pipeline`.
    Raises:  ArtefactError where it cannot be loaded. ModelError for a pipeline that is not supported.
    """
    place = Path(name)
    if place.exists() or place.is_absolute():
        _refuse_others(place)
    loader: Any = diffusers.DiffusionPipeline
    left_out = {name: None for name in LEFT_OUT.get(_class_of(place) or "", ()) if not (place / name).exists()}
    with reading(name, "a pipeline", "what the pipeline's save_pretrained writes"):
        pipe = loader.from_pretrained(str(name), torch_dtype=dtype, local_files_only=place.exists(), **left_out)
    return from_pipeline(pipe, prompt, **given)


def _class_of(place: Path) -> str | None:
    """The pipeline's class by a folder's index; None where there is no readable one."""
    return index_of(place).get("_class_name")


def _refuse_others(place: Path) -> None:
    """Refuse a folder that holds no pipeline, or one of another class, before anything is loaded.

    Raises:  ArtefactError, ModelError.
    """
    found = _class_of(place)
    if found is None:
        raise ArtefactError(
            f"{place} is no folder of a pipeline: it has no {INDEX} that names a class. Give the folder that "
            "save_pretrained wrote, with its subfolders."
        )
    if found != PIXELS and found not in FAMILIES:
        raise ModelError(
            f"{place} holds a {found}, which is not supported; supported are {PIXELS}, {', '.join(FAMILIES)}."
        )
