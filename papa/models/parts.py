"""Parts of diffusers' folders and pipelines: loading them, their noise levels, and which of them are supported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import diffusers
import torch
from diffusers import ConfigMixin, DDPMScheduler, EulerAncestralDiscreteScheduler
from torch import Tensor

from papa.diffusion.predictions import Epsilon, Prediction, Velocity
from papa.errors import ArtefactError, ModelError, PapaError

CONDITIONS = {
    "cross_attention_dim": "a prompt; make a PipelineModel of its pipeline",
    "class_embed_type": "a class; only models without classes can be aligned",
    "num_class_embeds": "a class; only models without classes can be aligned",
    "addition_embed_type": "more than a prompt; load a Stable Diffusion XL as a StableDiffusionXLPipeline",
    "encoder_hid_dim_type": "more than a prompt, as an image; take one in Stable Diffusion 1.5's layout",
    "time_cond_proj_dim": "the guidance scale, as a distilled model is; take the model that it was distilled from",
}
"""Entry of a UNet's configuration -> what the UNet is conditioned on where the entry is set, and what to do."""


@contextmanager
def loading(place: str | Path, kind: str, layout: str) -> Iterator[None]:
    """A block that loads a folder or a name on a hub; any error but lack of memory becomes an ArtefactError."""
    try:
        yield
    except (PapaError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a wrong value in a part's configuration raises any Python error
        raise ArtefactError(f"{place} cannot be loaded as {kind} ({error}); it needs {layout}.") from error


def refuse_other_conditions(unet: Any, *allowed: str) -> None:
    """Refuse a UNet that needs more than a noisy sample, its timestep and the allowed entries of `CONDITIONS`."""
    for name, what in CONDITIONS.items():
        if unet.config.get(name) and name not in allowed:
            raise ModelError(f"this UNet is conditioned on {what}.")


def latent_shape(unet: Any) -> tuple[int, int, int]:
    """(C, H, W) of what a UNet denoises."""
    config = unet.config
    if config.out_channels != config.in_channels:
        raise ModelError(
            f"this UNet takes {config.in_channels} channels and predicts {config.out_channels}; networks that learn "
            "the variance as well, or that see a mask beside the sample, are not supported."
        )
    if config.sample_size is None:
        raise ModelError("this UNet has no sample_size; set it: unet.register_to_config(sample_size=32).")
    side = config.sample_size
    height, width = (side, side) if isinstance(side, int) else side
    return config.in_channels, height, width


def sampling_sigmas(scheduler_config: dict[str, Any], n_steps: int) -> Tensor:
    """(n_steps + 1,) float64 noise levels of diffusers' EulerAncestralDiscreteScheduler, decreasing to 0."""
    scheduler = cast(EulerAncestralDiscreteScheduler, EulerAncestralDiscreteScheduler.from_config(scheduler_config))
    scheduler.set_timesteps(n_steps)
    return scheduler.sigmas.double()


def load_scheduler(folder: Path) -> Any:
    """The scheduler of a folder, in its own class: loaded in another one, a flow model would pass for one of noise."""
    name = str(cast(dict[str, Any], DDPMScheduler.load_config(folder)).get("_class_name"))
    found = getattr(diffusers, name, None)
    if not (isinstance(found, type) and issubclass(found, ConfigMixin) and name.endswith("Scheduler")):
        raise ValueError(f"diffusers has no scheduler {name!r}")
    return cast(Any, found).from_pretrained(folder)


def from_largest_sigma(scheduler: Any) -> Any:
    """A scheduler whose timesteps begin at the largest noise level; those of `leading` begin below it."""
    if scheduler.config.get("timestep_spacing") != "leading":
        return scheduler
    return type(scheduler).from_config(scheduler.config, timestep_spacing="linspace")


def prediction_of(scheduler: Any) -> Prediction:
    """The parameterization of a network whose scheduler has `alphas_cumprod`."""
    predicts, known = scheduler.config.get("prediction_type", "epsilon"), hasattr(scheduler, "alphas_cumprod")
    if known and predicts == "epsilon":
        return Epsilon()
    if known and predicts == "v_prediction":
        return Velocity.of(scheduler.alphas_cumprod)
    what = f"predicts {predicts!r}" if known else f"has a {type(scheduler).__name__}"
    raise ModelError(
        f"this model {what}; supported are models that predict the noise (epsilon), as Stable Diffusion 1.5, or its "
        "velocity (v_prediction), and the flows of Stable Diffusion 3 and Flux."
    )
