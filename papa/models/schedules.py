"""diffusers' schedulers: the noise levels that the samplers here take from them, and which are not supported."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import diffusers
from diffusers import ConfigMixin, DDPMScheduler, EulerAncestralDiscreteScheduler
from torch import Tensor

from papa.diffusion.predictions import Epsilon, Prediction, Velocity
from papa.errors import ModelError


def sampling_sigmas(scheduler_config: dict[str, Any], n_steps: int) -> Tensor:
    """Noise levels of `n_steps` sampling steps, by diffusers' EulerAncestralDiscreteScheduler.

    Args:    scheduler_config: configuration of the scheduler that the model was trained with.
             n_steps: number of denoising steps, 1 or more.
    Returns: (n_steps + 1,) float64, falling, the last one 0.
    """
    scheduler = cast(EulerAncestralDiscreteScheduler, EulerAncestralDiscreteScheduler.from_config(scheduler_config))
    scheduler.set_timesteps(n_steps)
    return scheduler.sigmas.double()


def scheduler_of(folder: Path) -> Any:
    """The scheduler of a folder, in its own class: in another one a flow model would pass for one that predicts noise.

    Raises:  OSError or ValueError where it cannot be read.
    """
    name = str(cast(dict[str, Any], DDPMScheduler.load_config(folder)).get("_class_name"))
    found = getattr(diffusers, name, None)
    if not (isinstance(found, type) and issubclass(found, ConfigMixin) and name.endswith("Scheduler")):
        raise ValueError(f"diffusers has no scheduler {name!r}")
    return cast(Any, found).from_pretrained(folder)


def from_the_largest_level(scheduler: Any) -> Any:
    """A scheduler whose timesteps begin at the largest noise level, as the samplers here do; `leading` ones begin
    below it."""
    if scheduler.config.get("timestep_spacing") != "leading":
        return scheduler
    return type(scheduler).from_config(scheduler.config, timestep_spacing="linspace")


def prediction_of(scheduler: Any) -> Prediction:
    """How the network of a scheduler with `alphas_cumprod` is asked for noise.

    Raises:  ModelError for a network that predicts something else, or a scheduler of another process.
    """
    predicts, known = scheduler.config.get("prediction_type", "epsilon"), hasattr(scheduler, "alphas_cumprod")
    if known and predicts == "epsilon":
        return Epsilon()
    if known and predicts == "v_prediction":
        return Velocity.of(scheduler.alphas_cumprod)
    what = f"predicts {predicts!r}" if known else f"has a {type(scheduler).__name__}"
    raise ModelError(
        f"this model {what}; the samplers and losses here are for models that predict the noise (epsilon), as Stable "
        "Diffusion 1.5 does, or its velocity (v_prediction), and for flows as Stable Diffusion 3 and Flux are."
    )
