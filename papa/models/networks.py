"""diffusers' UNets: the shape of their latents, and which of them the samplers and losses here do not support."""

from __future__ import annotations

from typing import Any

from papa.errors import ModelError

GIVEN = {
    "cross_attention_dim": "a prompt; make a PipelineModel of its pipeline",
    "class_embed_type": "a class; only models without classes can be aligned",
    "num_class_embeds": "a class; only models without classes can be aligned",
    "addition_embed_type": "more than a prompt; load a Stable Diffusion XL as a StableDiffusionXLPipeline",
    "encoder_hid_dim_type": "more than a prompt, as an image; take one in Stable Diffusion 1.5's layout",
    "time_cond_proj_dim": "the guidance scale, as a distilled model is; take the model that it was distilled from",
}
"""Entry of a UNet's configuration -> what the UNet is conditioned on where the entry is set, and what to do."""


def refuse_other_conditions(unet: Any, *given: str) -> None:
    """Refuse a UNet that needs more than a noisy sample, its timestep, and what it is given.

    Args:    given: entries of `GIVEN` that it may have.
    Raises:  ModelError that says what it needs.
    """
    for name, what in GIVEN.items():
        if unet.config.get(name) and name not in given:
            raise ModelError(f"this UNet is conditioned on {what}.")


def latent_shape(unet: Any) -> tuple[int, int, int]:
    """(C, H, W) of what a UNet denoises.

    Raises:  ModelError for one that takes or predicts more than that, or that does not say its size.
    """
    config = unet.config
    if config.out_channels != config.in_channels:
        raise ModelError(
            f"this UNet takes {config.in_channels} channels and predicts {config.out_channels}; the samplers and "
            "losses here are for one that takes a noisy sample and predicts its noise, in the same channels: not for "
            "one that has learned the variance as well, or that is shown a mask beside the sample."
        )
    if config.sample_size is None:
        raise ModelError(
            "this UNet does not say the size of its samples; say it, for example "
            "unet.register_to_config(sample_size=32)."
        )
    side = config.sample_size
    height, width = (side, side) if isinstance(side, int) else side
    return config.in_channels, height, width
