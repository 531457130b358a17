"""Small networks conditioned on a user."""

from __future__ import annotations

from typing import Any, cast

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from papa.models.personal.attention import add_user_attention, projections
from papa.rng import Stream

WIDTH, TOKENS, TEXT = 6, 3, 8


def prompted_unet(seed: int = 0) -> UNet2DConditionModel:
    """A random UNet with two levels, both with cross-attention."""
    with Stream(seed).at("unet").seeding_torch():
        return UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=TEXT,
            attention_head_dim=2,
            norm_num_groups=4,
        ).eval()


def told_unet(seed: int = 0) -> tuple[UNet2DConditionModel, Any]:
    """The same with user attention whose weights are random, so that it says something."""
    unet = prompted_unet(seed)
    told = add_user_attention(unet, WIDTH, Stream(seed).at("adapter"))
    randomize(unet, seed)
    return unet, told


def randomize(net: torch.nn.Module, seed: int = 0) -> None:
    """Random projections, in place of the zeros that an untrained adapter has."""
    for name, weight in projections(net).items():
        weight.data.copy_(torch.from_numpy(Stream(seed).at(name).normal(*weight.shape)))


def inputs(n: int = 3, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy samples, timesteps and text embeddings."""
    stream = Stream(seed)
    x, text = (
        torch.from_numpy(stream.at(name).normal(n, *shape)) for name, shape in (("x", (4, 8, 8)), ("c", (5, TEXT)))
    )
    return x, torch.linspace(10, 900, n), text


def person(n: int = 1, seed: int = 2) -> Tensor:
    """(n, TOKENS, WIDTH) descriptions."""
    return torch.from_numpy(Stream(seed).normal(n, TOKENS, WIDTH))


@torch.no_grad()
def predicted(net: torch.nn.Module, n: int = 3) -> Tensor:
    """What a network says to the same inputs."""
    return cast(Any, net)(*inputs(n)).sample
