"""Small random UNets and their schedulers, as a stranger has them."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DModel

from papa.rng import Stream

SMALL_UNET: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 1,
    "out_channels": 1,
    "layers_per_block": 1,
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 4,
}


def small_unet(seed: int = 0, **given: Any) -> UNet2DModel:
    """A random pixel-space UNet with attention layers; what is given replaces its configuration."""
    with Stream(seed).at("unet").seeding_torch():
        return UNet2DModel(**(SMALL_UNET | given)).eval()


def scheduler(**given: Any) -> DDPMScheduler:
    """The scheduler of a DDPM of 50 timesteps, without the clipping of clean estimates."""
    return DDPMScheduler(**({"num_train_timesteps": 50, "clip_sample": False} | given))


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether two networks have the same weights, bit for bit."""
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
