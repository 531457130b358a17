"""Quality of the `fruits` artefacts on new renders, for the model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from papa.benchmark.config import Measures
from papa.benchmark.metrics.fidelity import Fidelity
from papa.benchmark.metrics.interface import Bench
from papa.benchmark.tasks.artefacts import folder
from papa.benchmark.tasks.fruits import FruitsSettings
from papa.benchmark.tasks.fruits.render import CONCEPTS, KINDS, pictures
from papa.benchmark.tasks.fruits.task import NAME, Fruits
from papa.benchmark.tasks.images import to_range
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.rng import Stream
from recipes.fruits.autoencoder import psnr
from recipes.shared import Log, hashes, write_card

HELD_OUT = 1600
GENERIC = 1024
STREAM = Stream(2026).at(NAME, "card")
KIND_OF = np.array([list(KINDS).index(kind) for kind, _, _ in CONCEPTS])
ABOUT = {
    "command": "python -m recipes.fruits.recipe",
    "Data": "22,400 rendered images of eight kinds of fruit (32x32, `papa/benchmark/tasks/fruits/render.py`), one or "
    "two of them, in one to three colours, on five backgrounds; a tenth of the captions is empty, a tenth generic.",
    "Model": "A `StableDiffusionPipeline`: autoencoder 32x32x3 to 4x8x8, CLIP text encoder, conditional UNet.",
    "Judges": "Labelling proxy (gold): an OpenCLIP ViT trained on the first half of the images. Held-out judges: an "
    "OpenCLIP ResNet and an attribute classifier trained on the second half. Feature network of FID: a classifier "
    "trained on the first half.",
}


def held_out() -> tuple[Tensor, np.ndarray]:
    """Unseen renders and their concepts."""
    images, shown = pictures(HELD_OUT, STREAM.at("held-out").generator())
    return to_range(images), np.array([what.concept for what in shown])


def begin(home: Path, recipe: dict[str, Any]) -> None:
    """Write the card with everything that loading the task needs, before anything is measured."""
    vae: Any = AutoencoderKL.from_pretrained(home / "pipeline" / "vae", low_cpu_mem_usage=False).float()
    with torch.no_grad():
        latents = vae.encode(held_out()[0]).latent_dist.mean * vae.config.scaling_factor
    spread = round(float(latents.flatten(1).var(0).mean().sqrt()), 4)
    write_card(home, {"name": NAME, "about": ABOUT, "recipe": recipe, "sha256": hashes(home), "spread": spread})


def finish(log: Log) -> None:
    """Measure the installed artefacts and add the figures to the card."""
    (x, concepts), task = held_out(), Fruits(FruitsSettings())
    judges = task.judges()
    figures: dict[str, Any] = {"psnr": round(psnr(task.model.pipe.vae, x), 2), "judges": {}}
    for name, judge in judges.items():
        decided = judge.probabilities(x).argmax(1)
        right = {"concept": decided == concepts, "kind": KIND_OF[decided] == KIND_OF[concepts]}
        figures["judges"][name] = {what: float(each.mean()) for what, each in right.items()}
    figures["generic"] = generic_figures(task, judges)
    write_card(folder(NAME), task.card | {"figures": figures})
    log(f"{NAME}: FID {figures['generic']['fid']:.2f}, autoencoder {figures['psnr']} dB")


def generic_figures(task: Fruits, judges: dict[str, Any]) -> dict[str, Any]:
    """Samples of the default prompt: kinds, agreement of the judges, FID."""
    noise = stream_noise(STREAM.at("noise", task.settings.prompt), (GENERIC, *task.model.shape))
    images = task.model.decode(euler_ancestral(task.model.denoiser(Cost()), task.model.sigmas(), noise))
    samples = task.model.unpack(task.model.pack(images))
    gold, held_out = (judges[name].probabilities(samples).argmax(1) for name in ("gold", "held_out"))
    bench = Bench(task, Measures(), STREAM.at("kid"))
    shares = np.bincount(KIND_OF[held_out], minlength=len(KINDS)) / GENERIC
    return {
        "kinds": dict(zip(KINDS, shares.round(4).tolist(), strict=True)),
        "judges_agree": float((gold == held_out).mean()),
        "fid": Fidelity.distances(bench, bench.real.features, bench.embedded(samples))["fid"],
        "fid_floor": Fidelity.distances(bench, bench.real.features, bench.other_real.features)["fid"],
    }
