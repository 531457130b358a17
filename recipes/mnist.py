"""Train the artefacts of `mnist` or `fashion_mnist`: splits, base model, gold judge, feature network.

    python -m recipes.mnist [--task fashion_mnist] [--data FOLDER] [--size paper] [--precision bfloat16] [--steps N]

Without --data, `mnist` is trained on the 10,000 digits of the package: about six hours of two CPU threads. --data takes
a folder of IDX files, which become the data of the task (torchvision.datasets.MNIST(root, download=True) fetches them).
A run that was stopped resumes from the last checkpoint of the base model.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import time
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from safetensors.torch import save_file
from scipy.stats import norm
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from papa.benchmark.machine import pick_device
from papa.benchmark.tasks.artefacts import folder
from papa.benchmark.tasks.idx import IMAGES, LABELS, PARTS
from papa.benchmark.tasks.mnist import MnistSettings
from papa.benchmark.tasks.mnist.task import SIDE, FashionMnist, Mnist, real_images
from papa.errors import PapaError
from papa.files import forget_paths, sha256
from papa.models.training import Checkpoint, scheduled
from papa.rng import Stream
from papa.settings import Fraction, Positive, Rate, Settings
from recipes import labelled
from recipes.digits import split_indices, train_classifier
from recipes.shared import Log, half, install, only_figures_missing, staging

SEED = 2026
TIMESTEPS = 1000
STAGES = ((12_000, 2e-3), (18_000, 1e-3))
"""Steps and learning rate of each stage of the base model."""
CLASSIFIER_STEPS = 4000
Size = Literal["small", "paper"]
Precision = Literal["float32", "bfloat16"]
CHANNELS: dict[Size, tuple[int, ...]] = {"small": (16, 32, 96), "paper": (64, 128, 192)}
TASKS = {task.name: task for task in (Mnist, FashionMnist)}
SOURCES = {
    "mnist": "MNIST (Y. LeCun, C. Cortes, C. J. C. Burges; CC BY-SA 3.0), 28x28; the shipped files are its 10,000 test "
    "digits.",
    "fashion_mnist": "Fashion-MNIST (Zalando SE; MIT licence), 28x28.",
}


class BaseTraining(Settings):
    """Settings of one stage of the base model's training."""

    size: Size = "small"
    """small: 1.3 M parameters, for a CPU. paper: 10 M, for a GPU."""
    steps: Positive = STAGES[0][0]
    batch: Positive = 64
    lr: Rate = STAGES[0][1]
    precision: Precision = "float32"
    """Of the network's products. bfloat16 is faster on a GPU, and on a CPU with AMX or AVX512_BF16."""
    average: Fraction = 0.999
    """Decay of the exponential moving average of the weights, which becomes the model."""
    every: Positive = 250
    """Steps between two checkpoints."""


def new_unet(size: Size) -> UNet2DModel:
    """Three levels, 28, 14 and 7; attention at 7x7."""
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
    """The paper's: T = 1000, linear betas from 1e-4 to 0.02; VE noise levels from 0.01 to 157."""
    return DDPMScheduler(
        num_train_timesteps=TIMESTEPS,
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        timestep_spacing="linspace",  # few steps, too, start at the largest noise level
    )


ABAR = new_scheduler().alphas_cumprod
SIGMA = ((1 - ABAR) / ABAR).sqrt()
"""(1000,) VE noise level of every timestep."""
SPREAD = 0.6
"""About the standard deviation of a pixel."""
MOST = 10.0
"""Upper bound of the weight of a timestep."""


def timesteps(n: int, rng: np.random.Generator) -> Tensor:
    """(n,) stratified timesteps in random order: half uniform, half with log sigma ~ N(0.3, 1).

    Linear betas spend half of their timesteps at sigma > 3.4, where a digit cannot be seen; the second half follows
    Karras et al. (2022, section 5).
    """
    about = n // 2
    strata = [(rng.permutation(k) + rng.random(k)) / k for k in (n - about, about)]
    levels = np.exp(0.3 + norm.ppf(strata[1]))
    chosen = [np.floor(strata[0] * TIMESTEPS), np.searchsorted(SIGMA.numpy(), levels).clip(0, TIMESTEPS - 1)]
    return torch.from_numpy(rng.permutation(np.concatenate(chosen)).astype(np.int64))


def weight(t: Tensor) -> Tensor:
    """(n,) weights in (0, 1] of the squared noise error, 1 + sigma^2 / spread^2 (Karras et al. 2022, table 1)."""
    return (1 + SIGMA[t] ** 2 / SPREAD**2).clamp(max=MOST) / MOST


def train_base(
    x: Tensor,
    settings: BaseTraining,
    stream: Stream,
    checkpoint: Path | None,
    log: Log,
    device: str = "cpu",
    start: UNet2DModel | None = None,
    data: str = "",
) -> UNet2DModel:
    """Train one stage of the base model. A stopped training resumes with the same random numbers.

    Args:
        x: (n, 1, 28, 28) images in [-1, 1].
        checkpoint: file to resume from; None keeps none.
        start: initial network; None makes a new one.
        data: identifies the data in the checkpoint.

    Returns:
        The averaged network, on the CPU.
    """
    with stream.at("init").seeding_torch():
        unet = new_unet(settings.size) if start is None else start
    unet.train()
    cast(nn.Module, unet).to(device)
    ema = copy.deepcopy(unet).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=settings.lr, weight_decay=1e-3)
    kept = Checkpoint(checkpoint, settings.model_dump_json() + data)
    done, losses = 0, []
    if (state := kept.kept()) is not None:
        unet.load_state_dict(state["unet"])
        ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["done"]
        log(f"base model: resumed after step {done}")
    began, first = time.monotonic(), done
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


def _step(
    unet: UNet2DModel, x: Tensor, settings: BaseTraining, optimizer: torch.optim.Optimizer, stream: Stream, device: str
) -> float:
    """One step of AdamW; returns the weighted mean squared error of the noise."""
    rng = stream.generator()
    x0 = x[torch.from_numpy(rng.integers(len(x), size=settings.batch))]
    t = timesteps(settings.batch, rng)
    eps = torch.from_numpy(rng.standard_normal(x0.shape, dtype=np.float32))
    a = ABAR[t].view(-1, 1, 1, 1)
    noisy = a.sqrt() * x0 + (1 - a).sqrt() * eps
    # The fused attention of a CPU is slow in bfloat16 at 7x7 positions.
    with stream.at("dropout").seeding_torch(), sdpa_kernel(SDPBackend.MATH):
        with torch.autocast(device, torch.bfloat16, enabled=settings.precision == "bfloat16"):
            predicted: Tensor = unet(noisy.to(device), t.to(device)).sample  # pyright: ignore[reportAttributeAccessIssue]
        errors = nn.functional.mse_loss(predicted.float(), eps.to(device), reduction="none").mean((1, 2, 3))
        loss = (weight(t).to(device) * errors).mean()
        optimizer.zero_grad()
        loss.backward()
    nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def train(place: Path, name: str, stages: list[BaseTraining], log: Log) -> dict[str, list[int]]:
    """Make every artefact in `place`, which contains the IDX files.

    The parts are used as in `recipes.digits`. Returns the split indices by part.
    """
    task, (images, labels) = TASKS[name], real_images(place)
    stream = Stream(SEED).at(name, "recipe")
    parts = split_indices(labels, stream)
    seen = sorted(parts["A"] + parts["B"])
    trial = stages[0].steps < STAGES[0][0]
    for net_name, new_net, chosen in (("gold", task.new_gold, parts["A"]), ("features", task.new_features, seen)):
        log(f"{net_name}: training on {len(chosen)} images")
        epochs = 1 if trial else max(1, round(CLASSIFIER_STEPS * 64 / len(chosen)))
        net = train_classifier(new_net, images[chosen], torch.from_numpy(labels)[chosen], stream.at(net_name), epochs)
        save_file(half(net.state_dict()), place / f"{net_name}.safetensors")
    data = json.dumps({file.name: sha256(file) for file in idx_files(place)})
    unet, numbers, done = None, stream.at("base"), 0
    for index, settings in enumerate(stages):
        checkpoint = place / f".base-{index}.checkpoint"
        unet = train_base(images[seen], settings, numbers, checkpoint, log, pick_device("auto"), unet, data)
        unet.half().float().requires_grad_(True)  # stages start from the weights as they would be saved
        done += settings.steps
        numbers = stream.at("base").at(after=done)
    assert unet is not None
    unet.half().save_pretrained(place / "unet")
    new_scheduler().save_pretrained(place / "scheduler")
    forget_paths(place)
    return parts


def idx_files(data: Path) -> list[Path]:
    """The IDX files of a folder, gzipped or not."""
    names = [f"{part}-{kind}{suffix}" for part in PARTS for kind in (IMAGES, LABELS) for suffix in ("", ".gz")]
    return [file for name in names if (file := data / name).is_file()]


def retrain(
    log: Log,
    task: str = "mnist",
    data: str | None = None,
    size: Size = "small",
    precision: Precision = "float32",
    steps: int | None = None,
) -> None:
    """Train everything in a staging folder, install it and measure it.

    Args:
        data: folder of IDX files; None takes those of the task.
        steps: steps of every stage, for a trial run.
    """
    home = folder(task)
    if data is None and not home.is_dir():
        raise PapaError(f"{task} is not shipped; give the folder of its IDX files with --data FOLDER.")
    if data is not None or not only_figures_missing(task):
        source = home if data is None else Path(data)
        real_images(source)  # raises for damaged files
        stages = [BaseTraining(size=size, precision=precision, steps=steps or count, lr=lr) for count, lr in STAGES]
        new = staging(task, steps)
        for file in idx_files(source):
            shutil.copyfile(file, new / file.name)
        parts = train(new, task, stages, log)
        shared = stages[0].model_dump(include={"size", "batch", "precision", "average"})
        recipe = {"seed": SEED, "timesteps": TIMESTEPS} | shared
        recipe["stages"] = [{"steps": stage.steps, "lr": stage.lr} for stage in stages]
        labelled.begin(new, task, real_images(new)[0], parts, recipe, about(task))
        install(new, task)
    labelled.finish(TASKS[task](MnistSettings()), Stream(SEED).at(task), log)


def about(task: str) -> dict[str, str]:
    """Sentences of the model card."""
    return {
        "command": "python -m recipes.mnist" + ("" if task == "mnist" else f" --task {task} --data FOLDER"),
        "Data": f"{SOURCES[task]} Three disjoint stratified parts A, B and C.",
        "Base model": "DDPM (`UNet2DModel`), linear betas from 1e-4 to 0.02, trained on A and B.",
        "Judges": "Gold judge (labels): a small CNN trained on A. Held-out judge: a support vector machine on the "
        "oriented gradients of B, fitted when it is loaded. Feature network of FID: another CNN, trained on A and B.",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=list(TASKS), default="mnist")
    parser.add_argument("--data", metavar="FOLDER", help="IDX files to train on")
    parser.add_argument("--size", choices=list(CHANNELS), default="small", help="paper is for a GPU")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--steps", type=int, help="steps of every stage, for a trial run")
    retrain(print, **vars(parser.parse_args()))


if __name__ == "__main__":
    main()
