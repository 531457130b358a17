"""Training of the base model of 28x28 pictures: a DDPM with T = 1000 and linear betas, as in PAPA's paper."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch import Tensor, nn

from papa.benchmark.tasks.mnist.task import SIDE
from papa.models.training import Checkpoint, scheduled
from papa.recipes.shared import Log
from papa.rng import Stream
from papa.settings import Fraction, Positive, Rate, Settings

TIMESTEPS = 1000
Size = Literal["small", "paper"]
CHANNELS: dict[Size, tuple[int, ...]] = {"small": (16, 32, 96), "paper": (64, 128, 192)}


class BaseTraining(Settings):
    """How the base model is trained."""

    size: Size = "small"
    """small: 1.3 M parameters, for a CPU. paper: 10 M, for a GPU."""
    steps: Positive = 6000
    batch: Positive = 64
    lr: Rate = 2e-3
    average: Fraction = 0.999
    """Decay of the exponential average of the weights, which is the model in the end."""
    every: Positive = 250
    """Steps between two lines of progress, each with a checkpoint."""


def new_unet(size: Size) -> UNet2DModel:
    """Three levels, 28, 14 and 7; attention at 7x7, where a picture's class is decided."""
    return UNet2DModel(
        sample_size=SIDE,
        in_channels=1,
        out_channels=1,
        layers_per_block=1 if size == "small" else 2,
        block_out_channels=CHANNELS[size],
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=32,
        dropout=0.0 if size == "small" else 0.1,
    )


def new_scheduler() -> DDPMScheduler:
    """The paper's: T = 1000, betas from 1e-4 to 0.02 in equal steps; VE noise levels from 0.01 to 157."""
    return DDPMScheduler(
        num_train_timesteps=TIMESTEPS,
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        timestep_spacing="linspace",  # few steps, too, start at the largest noise level
    )


def train_base(
    x: Tensor, settings: BaseTraining, stream: Stream, checkpoint: Path | None, log: Log, device: str = "cpu"
) -> UNet2DModel:
    """Train on (n, 1, 28, 28) images in [-1, 1]; returns the averaged network, on the CPU.

    Every step has random numbers of its own, so a training that was stopped goes on with the same ones; dropout's are
    seeded with them.

    Raises:  PapaError for a checkpoint that is damaged, or of another training.
    """
    with stream.at("init").seeding_torch():
        unet = new_unet(settings.size)
    unet.train()
    cast(nn.Module, unet).to(device)
    ema = copy.deepcopy(unet).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=settings.lr, weight_decay=1e-3)
    kept = Checkpoint(checkpoint, settings.model_dump_json())
    done = 0
    if (state := kept.kept()) is not None:
        unet.load_state_dict(state["unet"])
        ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["done"]
        log(f"base model: going on after step {done}")
    began, first, losses = time.monotonic(), done, []
    while done < settings.steps:
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * scheduled(done, settings.steps)
        losses.append(_step(unet, x, settings, optimizer, stream.at(step=done), device))
        done += 1
        with torch.no_grad():
            decay = min(settings.average, done / (done + 10))
            torch._foreach_lerp_(list(ema.parameters()), list(unet.parameters()), 1 - decay)
        if done % settings.every == 0 or done == settings.steps:
            left = (time.monotonic() - began) / (done - first) * (settings.steps - done)
            log(f"base model: step {done}/{settings.steps}, loss {np.mean(losses):.4f}, {left:.0f} s left")
            losses = []
            nets = {"unet": unet.state_dict(), "ema": ema.state_dict()}
            kept.keep(nets | {"optimizer": optimizer.state_dict(), "done": done})
    cast(nn.Module, ema).cpu()
    return ema


ABAR = new_scheduler().alphas_cumprod


def _step(
    unet: UNet2DModel,
    x: Tensor,
    settings: BaseTraining,
    optimizer: torch.optim.Optimizer,
    stream: Stream,
    device: str,
) -> float:
    """One step of AdamW; returns the mean squared error of the noise."""
    rng, n = stream.generator(), settings.batch
    x0 = x[torch.from_numpy(rng.integers(len(x), size=n))]
    strata = (np.arange(n) + rng.random(n)) / n  # one timestep in each of n equal strata
    t = torch.from_numpy((rng.permutation(strata) * TIMESTEPS).astype(np.int64))
    eps = torch.from_numpy(rng.standard_normal(x0.shape, dtype=np.float32))
    a = ABAR[t].view(-1, 1, 1, 1)
    noisy = a.sqrt() * x0 + (1 - a).sqrt() * eps
    with stream.at("dropout").seeding_torch():
        predicted: Tensor = unet(noisy.to(device), t.to(device)).sample  # pyright: ignore[reportAttributeAccessIssue]
    loss = nn.functional.mse_loss(predicted, eps.to(device))
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
    optimizer.step()
    return loss.item()
