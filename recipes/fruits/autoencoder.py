"""Training of the `fruits` autoencoder: 32x32x3 images to 4x8x8 latents, as Stable Diffusion's does 512 to 64."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from papa.rng import Stream
from recipes.fruits.training import Trainer, batches
from recipes.shared import Log, reproducible

STEPS = 6_000
BATCH = 16
LEARNING_RATE = 2e-3
KL_WEIGHT = 1e-5
LOG_VARIANCE = -5.0
"""Initial log-variance of the posterior: at 0 the decoder learns to ignore noisy latents first."""
PULL_STEPS = 1_500
"""Steps during which three latent channels are pulled to the pooled image, which keeps the hues apart."""

OPPONENT = torch.tensor([[0.299, 0.587, 0.114], [0.85, -0.85, 0.0], [0.3, 0.3, -0.6]])
"""RGB to lightness, red-green and yellow-blue, the last two weighted up: the axes of colour vision and of fruit."""


def new_autoencoder() -> AutoencoderKL:
    """0.8 M parameters. Two groups per norm: with many, normalization removes the hue."""
    levels: Any = {  # diffusers annotates these as tuples of one
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "block_out_channels": (32, 48, 64),
    }
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=32,
        scaling_factor=1.0,
        **levels,
    )


def edges(x: Tensor) -> Tensor:
    """Differences between neighbouring pixels, both ways, flattened."""
    return torch.cat([(x[..., 1:] - x[..., :-1]).flatten(), (x[..., 1:, :] - x[..., :-1, :]).flatten()])


def reconstruction(decoded: Tensor, x: Tensor) -> Tensor:
    """L1 + L2 along the opponent axes, and the L1 of edges."""
    error = torch.einsum("ij,njhw->nihw", OPPONENT, decoded - x)
    return error.abs().mean() + 2 * error.square().mean() + 0.25 * (edges(decoded) - edges(x)).abs().mean()


@reproducible
def train_autoencoder(x: Tensor, stream: Stream, log: Log, steps: int = STEPS) -> AutoencoderKL:
    """Train on (n, 3, 32, 32) images in [-1, 1]; the scaling factor makes the latents' variance 1."""
    vae = new_autoencoder().train()
    with torch.no_grad():
        cast(Any, vae.quant_conv).bias[4:] = LOG_VARIANCE
    trainer = Trainer("autoencoder", [vae], LEARNING_RATE, steps, log)
    rng = stream.at("train").generator()
    for step, chosen in batches(len(x), BATCH, steps, rng):
        batch = x[torch.from_numpy(chosen)]
        posterior = cast(Any, vae.encode(batch)).latent_dist
        noise = torch.from_numpy(rng.standard_normal(posterior.mean.shape, dtype=np.float32))
        decoded = cast(Any, vae.decode(posterior.mean + posterior.std * noise)).sample
        loss = reconstruction(decoded, batch) + KL_WEIGHT * posterior.kl().mean()
        if step < PULL_STEPS:
            pooled = nn.functional.avg_pool2d(batch, 4)
            loss = loss + (1 - step / PULL_STEPS) * (posterior.mean[:, :3] - 2 * pooled).abs().mean()
        trainer.step(loss)
    vae.eval()
    with torch.no_grad():
        means = torch.cat([cast(Any, vae.encode(part)).latent_dist.mean for part in x[:2048].split(256)])
    vae.register_to_config(scaling_factor=round(1 / float(means.std()), 5))
    return vae


@torch.no_grad()
def psnr(vae: AutoencoderKL, x: Tensor) -> float:
    """Mean peak signal-to-noise ratio in dB over images, through the posterior's mean."""
    decoded = torch.cat(
        [cast(Any, vae).decode(cast(Any, vae.encode(part)).latent_dist.mean).sample for part in x.split(256)]
    )
    mse = (decoded.clamp(-1, 1) - x).square().flatten(1).mean(1)
    return float((10 * torch.log10(4 / mse)).mean())
