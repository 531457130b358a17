"""Training of the base model of 28x28 pictures: a DDPM with T = 1000 and linear betas, as in PAPA's paper."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from scipy.stats import norm
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from papa.benchmark.tasks.mnist.task import SIDE
from papa.models.training import Checkpoint, scheduled
from papa.rng import Stream
from papa.settings import Fraction, Positive, Rate, Settings
from recipes.mnist.copies import Copies, copies
from recipes.shared import Log

TIMESTEPS = 1000
Size = Literal["small", "paper"]
Precision = Literal["float32", "bfloat16"]
CHANNELS: dict[Size, tuple[int, ...]] = {"small": (16, 32, 96), "paper": (64, 128, 192)}


class BaseTraining(Settings):
    """How the base model is trained."""

    size: Size = "small"
    """small: 1.3 M parameters, for a CPU. paper: 10 M, for a GPU."""
    steps: Positive = 12000
    batch: Positive = 64
    lr: Rate = 2e-3
    precision: Precision = "float32"
    """Of the network's products while it is trained. bfloat16 is half as fast again on a CPU that has AMX or
    AVX512_BF16; the weights are float32 in any case."""
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
    x: Tensor,
    settings: BaseTraining,
    stream: Stream,
    checkpoint: Path | None,
    log: Log,
    device: str = "cpu",
    start: UNet2DModel | None = None,
) -> UNet2DModel:
    """Train on (n, 1, 28, 28) images in [-1, 1]; returns the averaged network, on the CPU.

    Every step has random numbers of its own, so a training that was stopped goes on with the same ones; on a CPU
    dropout's are seeded with them, too. There the threads of torch share a batch, and with as many threads as before a
    training goes on with the same bits.

    Args:    start: the network to begin with; None begins with a new one.
    Raises:  PapaError for a checkpoint that is damaged, or of another training.
    """
    with stream.at("init").seeding_torch():
        unet = new_unet(settings.size) if start is None else start
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
    # Dropout draws from the one generator of torch, so there threads would meet in another order each time.
    most = settings.batch if device == "cpu" and settings.size == "small" else 1
    with copies(unet, most) as shared:
        while done < settings.steps:
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * scheduled(done, settings.steps)
            losses.append(_step(shared, x, settings, optimizer, stream.at(step=done), device))
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
SIGMA = ((1 - ABAR) / ABAR).sqrt()
"""(1000,) VE noise level of every timestep."""
SPREAD = 0.6
"""Standard deviation of a pixel, about: below this noise level a picture is known, above it is guessed."""
MOST = 10.0
"""Where the weight of a timestep stops growing: at the largest noise levels only the pictures' mean can be learnt."""


def timesteps(n: int, rng: np.random.Generator) -> Tensor:
    """(n,) timesteps in random order: half of them uniform, half where it is decided what a picture shows.

    Linear betas spend half of their timesteps at noise levels above 3.4, where a digit cannot be seen, so the second
    half has log sigma ~ N(0.3, 1), as Karras et al. (2022, section 5) choose noise levels. Both are stratified.
    """
    about = n // 2
    strata = [(rng.permutation(k) + rng.random(k)) / k for k in (n - about, about)]
    levels = np.exp(0.3 + norm.ppf(strata[1]))
    drawn = [np.floor(strata[0] * TIMESTEPS), np.searchsorted(SIGMA.numpy(), levels).clip(0, TIMESTEPS - 1)]
    return torch.from_numpy(rng.permutation(np.concatenate(drawn)).astype(np.int64))


def weight(t: Tensor) -> Tensor:
    """(n,) weights in (0, 1] of the squared error of the noise, so that noise levels weigh alike in what is learnt.

    1 + sigma^2 / spread^2, which is what Karras et al. (2022, table 1) weigh them with: an error of the noise is
    1/sigma of that of the picture. A digit's shape, decided at large noise levels, is learnt in far fewer steps.
    """
    return (1 + SIGMA[t] ** 2 / SPREAD**2).clamp(max=MOST) / MOST


def _step(
    shared: Copies[UNet2DModel],
    x: Tensor,
    settings: BaseTraining,
    optimizer: torch.optim.Optimizer,
    stream: Stream,
    device: str,
) -> float:
    """One step of AdamW; returns the mean of the weighted squared error of the noise."""
    rng = stream.generator()
    x0 = x[torch.from_numpy(rng.integers(len(x), size=settings.batch))]
    t = timesteps(settings.batch, rng)
    eps = torch.from_numpy(rng.standard_normal(x0.shape, dtype=np.float32))
    a = ABAR[t].view(-1, 1, 1, 1)
    noisy = a.sqrt() * x0 + (1 - a).sqrt() * eps
    w = weight(t)

    def losses(unet: UNet2DModel, rows: slice) -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=settings.precision == "bfloat16"):
            predicted: Tensor = unet(noisy[rows].to(device), t[rows].to(device)).sample  # pyright: ignore[reportAttributeAccessIssue]
        errors = nn.functional.mse_loss(predicted.float(), eps[rows].to(device), reduction="none").mean((1, 2, 3))
        return w[rows].to(device) * errors

    # The fused attention of a CPU is slow in bfloat16 on a picture of 7x7 positions.
    with stream.at("dropout").seeding_torch(), sdpa_kernel(SDPBackend.MATH):
        loss = shared.mean_gradient(losses, settings.batch)
    nn.utils.clip_grad_norm_(shared.nets[0].parameters(), 1.0)
    optimizer.step()
    return loss
