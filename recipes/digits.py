"""Train the artefacts of `digits`: splits, base model, gold judge, feature network.

    python -m recipes.digits [--steps N]

About half an hour of one CPU thread. The results are package data, so users need not run this.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from safetensors.torch import save_file
from torch import Tensor, nn

from papa.benchmark.tasks.digits import DigitsSettings
from papa.benchmark.tasks.digits.task import NAME, Digits, real_digits
from papa.benchmark.tasks.labelled import SmallClassifier
from papa.files import forget_paths
from papa.rng import Stream
from recipes import labelled
from recipes.shared import Log, install, main, only_figures_missing, reproducible, staging

SEED = 2026
TIMESTEPS = 200
STEPS = 8_000
BATCH = 128
LEARNING_RATE = 2e-3
EMA_DECAY = 0.999
ABOUT = {
    "command": "python -m recipes.digits",
    "Data": "scikit-learn's `load_digits`: 1,797 handwritten digits, 8x8, scaled to [-1, 1], in three disjoint "
    "stratified parts A, B and C.",
    "Base model": "DDPM (`UNet2DModel`) trained on A and B.",
    "Judges": "Gold judge (labels): a small CNN trained on A. Held-out judge: a support vector machine fitted on B "
    "when it is loaded. Feature network of FID: another CNN, trained on A and B.",
}


def new_unet() -> UNet2DModel:
    """The base network: 0.9 M parameters, attention at 2x2."""
    return UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(24, 48, 64),
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=8,
        dropout=0.1,
    )


def new_scheduler() -> DDPMScheduler:
    """Stable Diffusion's scaled-linear betas over T = 200; VE noise levels from 0.014 to 21.

    Two 8x8 digits have a distance of about 6 (28x28: about 20), so their class is lost at a lower noise level than in
    the paper. The published linear betas would put that level below 0.4 T, which EPAPA leaves to the base.
    """
    return DDPMScheduler(
        num_train_timesteps=TIMESTEPS,
        beta_start=2e-4,
        beta_end=0.085,
        beta_schedule="scaled_linear",
        timestep_spacing="linspace",  # few steps, too, start at the largest noise level
    )


def split_indices(labels: np.ndarray, stream: Stream) -> dict[str, list[int]]:
    """Three disjoint parts A, B, C of equal size, stratified by class."""
    rng = stream.at("splits").generator()
    parts: dict[str, list[int]] = {"A": [], "B": [], "C": []}
    for digit in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == digit))
        for name, chosen in zip(parts, np.array_split(members, 3), strict=True):
            parts[name].extend(chosen.tolist())
    return {name: sorted(chosen) for name, chosen in parts.items()}


@reproducible
def train_base(x: Tensor, stream: Stream, log: Log, steps: int = STEPS) -> UNet2DModel:
    """Train the DDPM on (n, 1, 8, 8) images in [-1, 1]; returns the averaged (EMA) network."""
    unet = new_unet().train()
    ema = copy.deepcopy(unet).eval().requires_grad_(False)
    abar = new_scheduler().alphas_cumprod
    optimizer = torch.optim.AdamW(unet.parameters(), lr=LEARNING_RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps, pct_start=0.05)
    rng = stream.at("train").generator()
    start, running = time.monotonic(), 0.0
    for step in range(1, steps + 1):
        x0 = x[torch.from_numpy(rng.choice(len(x), BATCH, replace=False))]
        strata = (np.arange(BATCH) + rng.random(BATCH)) / BATCH  # one timestep in each of BATCH equal strata
        t = torch.from_numpy((rng.permutation(strata) * TIMESTEPS).astype(np.int64))
        eps = torch.from_numpy(rng.standard_normal(x0.shape, dtype=np.float32))
        a = abar[t].view(-1, 1, 1, 1)
        loss = nn.functional.mse_loss(unet(a.sqrt() * x0 + (1 - a).sqrt() * eps, t).sample, eps)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        decay = min(EMA_DECAY, step / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.parameters()), list(unet.parameters()), 1 - decay)
        running += (loss.item() - running) * 0.01
        if step % 500 == 0:
            log(f"base model: step {step}/{steps}, loss {running:.4f}, {time.monotonic() - start:.0f} s")
    return ema


@reproducible
def train_classifier(
    new_net: Callable[[], SmallClassifier], x: Tensor, y: Tensor, stream: Stream, epochs: int = 120
) -> SmallClassifier:
    """Train a classifier with small shifts and noise as augmentation."""
    net, rng = new_net().train(), stream.at("train").generator()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = epochs * (len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, steps)
    for _ in range(steps):
        chosen = torch.from_numpy(rng.choice(len(x), 64, replace=False))
        dx, dy = rng.integers(-1, 2, 2) if rng.random() < 0.5 else (0, 0)
        batch = torch.roll(x[chosen], (int(dx), int(dy)), (2, 3))
        batch = batch + 0.15 * torch.from_numpy(rng.standard_normal(batch.shape, dtype=np.float32))
        loss = nn.functional.cross_entropy(net(batch), y[chosen], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


def train(folder: Path, images: Tensor, labels: Tensor, log: Log, steps: int) -> dict[str, list[int]]:
    """Make every artefact of the task in `folder`.

    The base model and the feature network are trained on parts A and B, the gold judge on part A. Part C is the
    reference set of the metrics.
    Returns the split indices by part.
    """
    stream = Stream(SEED).at("digits", "recipe")
    parts = split_indices(labels.numpy(), stream)
    seen = sorted(parts["A"] + parts["B"])
    for name, new_net, chosen in (("gold", Digits.new_gold, parts["A"]), ("features", Digits.new_features, seen)):
        log(f"{name}: training on {len(chosen)} images")
        net = train_classifier(new_net, images[chosen], labels[chosen], stream.at(name))
        save_file(net.state_dict(), folder / f"{name}.safetensors")
    unet = train_base(images[seen], stream.at("base"), log, steps)
    unet.half().save_pretrained(folder / "unet")  # half the size, same samples to the eye
    new_scheduler().save_pretrained(folder / "scheduler")
    forget_paths(folder)
    return parts


def retrain(log: Log, steps: int | None = None) -> None:
    """Train everything in a staging folder, install it and measure it."""
    if not only_figures_missing(NAME):
        images, labels = real_digits()
        new = staging(NAME, steps)
        parts = train(new, images, torch.from_numpy(labels), log, steps or STEPS)
        recipe = {"seed": SEED, "steps": steps or STEPS, "batch": BATCH, "lr": LEARNING_RATE, "timesteps": TIMESTEPS}
        labelled.begin(new, NAME, images, parts, recipe, ABOUT)
        install(new, NAME)
    labelled.finish(Digits(DigitsSettings()), Stream(SEED).at(NAME), log)


if __name__ == "__main__":
    main(retrain, __doc__)
