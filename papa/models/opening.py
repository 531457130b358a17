"""Any supported diffusers pipeline as a model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from papa.errors import ModelError, SettingsError
from papa.models.families import PIXELS, family_name, family_of
from papa.models.interface import Model
from papa.models.pipeline import PipelineModel, load_pipeline
from papa.models.settings import PipelineSettings, SamplingSettings
from papa.models.switched_pipeline import switched
from papa.models.unet import UNetModel
from papa.settings import validated

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
DIFFUSERS_NAMES = {"num_inference_steps": "steps", "height": "size", "width": "size", "torch_dtype": "dtype"}
"""diffusers' names of settings -> papa's."""


def from_pipeline(
    pipe: Any, prompt: str | None = None, *, device: str = "cpu", spread: float | None = None, **given: Any
) -> Model:
    """A diffusers pipeline as a model.

    Args:
        pipe: a `DDPMPipeline`, or one of the families in `papa.models.families`, in the type that it is to run in.
        prompt: the prompt of all samples; None for a DDPMPipeline.
        device: where it runs, "cpu" or "cuda".
        spread: standard deviation of the data per coordinate; by default 1 for latents and 0.5 for pixels.
        given: sampling settings: steps, chunk; with a prompt also guidance_scale (by default diffusers' own for the
            class), size, attention_slicing, vae_slicing, vae_tiling.

    Raises:
        ModelError: for an unsupported pipeline.
        SettingsError: for a setting that does not fit.
    """
    for name, ours in DIFFUSERS_NAMES.items():
        if name in given:
            raise SettingsError(f"{name} is not a setting of a model; use {ours}.")
    _check_device(device)
    _refuse_offload(pipe)
    if family_name(type(pipe)) == PIXELS:
        if prompt is not None:
            raise ModelError("a DDPMPipeline has no prompt; leave `prompt` out.")
        settings = validated(SamplingSettings, given, "settings of the model")
        pipe = _with_clean(pipe, "unet")
        return UNetModel(pipe.unet, pipe.scheduler, settings, spread=0.5 if spread is None else spread, device=device)
    family = family_of(pipe)
    if prompt is None:
        raise ModelError(
            f"a {family.pipeline} needs a prompt: prompt='a photo of fruit', or --prompt 'a photo of fruit' for "
            "`papa serve`."
        )
    known = {"guidance_scale": family.guidance} | given | {"prompt": prompt}
    prompted = validated(PipelineSettings, known, "settings of the model")
    pipe = _with_clean(pipe, family.network)
    return PipelineModel(pipe, prompted, spread=1.0 if spread is None else spread, device=device)


def from_pretrained(
    name: str | Path,
    prompt: str | None = None,
    *,
    dtype: torch.dtype | str = torch.float32,
    variant: str | None = None,
    revision: str | None = None,
    **given: Any,
) -> Model:
    """A folder that diffusers saved (nothing is downloaded), or a name on a hub, as a model.

    Args:
        name, prompt, given: prompt and settings as in `from_pipeline`.
        dtype: of the weights, a torch type or "fp16", "bf16", "fp32".
        variant: of the weight files, for example "fp16"; found by itself in a folder that has no others.
        revision: commit of the hub's repository.

    Raises:
        ArtefactError: where it cannot be loaded.
        ModelError, SettingsError: as `from_pipeline`.
    """
    return from_pipeline(load_pipeline(name, as_dtype(dtype), variant, revision), prompt, **given)


def as_dtype(dtype: torch.dtype | str) -> torch.dtype:
    """A torch type by its name."""
    found = DTYPES.get(dtype) or getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not (isinstance(found, torch.dtype) and found.is_floating_point):
        raise SettingsError(f"dtype: {dtype!r} is unknown; use {', '.join(DTYPES)}, or a torch.dtype.")
    return found


def _with_clean(pipe: Any, part: str) -> Any:
    """The pipeline; with both networks where it was loaded by the custom class of an EPAPA folder."""
    if any(parent.__name__ == "TwoNetworks" for parent in type(pipe).__mro__):
        pipe = copy.copy(pipe)
        setattr(pipe, part, switched(getattr(pipe, part), Path(pipe.config._name_or_path), part))
    return pipe


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        here = "cpu, cuda" if torch.cuda.is_available() else "cpu (PyTorch finds no CUDA device)"
        raise SettingsError(f"device: {device!r} is not available here; use {here}.") from error


def _refuse_offload(pipe: Any) -> None:
    parts = [part for part in getattr(pipe, "components", {}).values() if isinstance(part, torch.nn.Module)]
    if any(hasattr(module, "_hf_hook") for part in parts for module in part.modules()):
        raise ModelError(
            "the weights of this pipeline are offloaded, so they cannot be trained or moved; load it again without "
            "enable_sequential_cpu_offload and enable_model_cpu_offload. attention_slicing and vae_slicing save memory."
        )
