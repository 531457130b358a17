"""Schedulers of diffusers: what they say of a model, and the noise levels that these samplers take from them."""

from __future__ import annotations

from typing import Any, cast

from diffusers import EulerAncestralDiscreteScheduler
from torch import Tensor

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


def refuse_other_predictions(scheduler: Any) -> None:
    """Refuse a model that does not predict the noise.

    Raises:  ModelError for a v-prediction or flow model.
    """
    predicts = scheduler.config.get("prediction_type", "epsilon")
    if predicts != "epsilon" or not hasattr(scheduler, "alphas_cumprod"):
        what = repr(predicts) if predicts != "epsilon" else f"for {type(scheduler).__name__}"
        raise ModelError(
            f"this model predicts {what}; the samplers and losses here are for models that predict the noise "
            "(epsilon), as Stable Diffusion 1.5 does."
        )
