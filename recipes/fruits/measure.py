"""Quality of the `fruits` artefacts on new renders, for the model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from scipy import stats
from torch import Tensor

from papa.benchmark.config import Measures
from papa.benchmark.metrics.fidelity import Fidelity
from papa.benchmark.metrics.interface import Bench
from papa.benchmark.metrics.spread import pairwise_distance
from papa.benchmark.tasks.artefacts import folder
from papa.benchmark.tasks.fruits import FRUITS, FruitsSettings
from papa.benchmark.tasks.fruits.captions import kind_prompt, phrase
from papa.benchmark.tasks.fruits.render import CONCEPTS, KINDS, pictures
from papa.benchmark.tasks.fruits.task import NAME, Fruits
from papa.benchmark.tasks.images import to_range
from papa.benchmark.tasks.prompts import ClipJudge, PromptBank
from papa.benchmark.users import user_of, user_spec
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.rng import Stream
from recipes.fruits.autoencoder import psnr
from recipes.shared import Log, hashes, write_card

HELD_OUT = 1600
GENERIC = 1024
PER_KIND = 64
RATED = 4096
"""Samples of the default prompt for the users' base rates."""
STREAM = Stream(2026).at(NAME, "card")
KIND_OF = np.array([list(KINDS).index(kind) for kind, _, _ in CONCEPTS])
SCALES = (1.0, 2.0, 3.0, 5.0, 7.5)
ABOUT = {
    "command": "python -m recipes.fruits.recipe",
    "Data": "22,400 rendered images of eight kinds of fruit (32x32, `papa/benchmark/tasks/fruits/render.py`), one or "
    "two of them, in one to three colours, on five backgrounds; a tenth of the captions is empty, a tenth generic.",
    "Model": "A `StableDiffusionPipeline`: autoencoder 32x32x3 to 4x8x8, CLIP text encoder, conditional UNet.",
    "Judges": "Labelling proxy (gold): an OpenCLIP ViT trained on the first half of the images. Held-out judges: an "
    "OpenCLIP ResNet and an attribute classifier trained on the second half. Feature network of FID: a classifier "
    "trained on the first half.",
    "Samples": "![Renders, reconstructions, samples of each kind, samples of the default prompt](samples.png) From the "
    "top: renders, their reconstructions, one row per kind's prompt, four rows of the default prompt.",
}


def sample(task: Fruits, prompt: str, n: int, scale: float | None = None) -> Tensor:
    """n images of a prompt, quantized as they are stored."""
    if scale is not None:
        task.model.settings = task.model.settings.model_copy(update={"guidance_scale": scale})
    noise = stream_noise(STREAM.at("noise", prompt), (n, *task.model.shape))
    with task.model.prompted(prompt):
        images = task.model.decode(euler_ancestral(task.model.denoiser(Cost()), task.model.sigmas(), noise))
    return task.model.unpack(task.model.pack(images))


def zero_shot(judge: ClipJudge, prompts: list[str], x: Tensor, truth: list[int]) -> float:
    """Zero-shot accuracy of an OpenCLIP model on given prompts."""
    bank = PromptBank([{"kind": prompt} for prompt in prompts], [[prompt] for prompt in prompts])
    return float((judge.with_bank(bank).probabilities(x).argmax(1) == np.array(truth)).mean())


def judges_figures(judges: dict[str, Any], x: Tensor, concepts: np.ndarray) -> dict[str, Any]:
    """Accuracies on held-out renders."""
    kinds, pairs = list(KINDS), list(dict.fromkeys((kind, colour) for kind, colour, _ in CONCEPTS))
    figures: dict[str, Any] = {}
    for name, judge in judges.items():
        decided = judge.probabilities(x).argmax(1)
        own = {"concept": float((decided == concepts).mean())}
        own["kind"] = float((KIND_OF[decided] == KIND_OF[concepts]).mean())
        if isinstance(judge, ClipJudge):
            own["kind"] = zero_shot(judge, [kind_prompt(kind) for kind in kinds], x, KIND_OF[concepts].tolist())
            prompts = [f"a photo of {phrase(kind, colour, 1)}" for kind, colour in pairs]
            own["kind_and_colour"] = zero_shot(judge, prompts, x, [pairs.index(CONCEPTS[c][:2]) for c in concepts])
            own["logit_scale"] = round(judge.temperature, 2)
        figures[name] = own
    return figures


def prompt_fidelity(task: Fruits, judges: dict[str, Any], scale: float) -> dict[str, Any]:
    """Share of samples of each kind's prompt that the judges assign to that kind, and their diversity."""
    right: dict[str, list[float]] = {name: [] for name in judges}
    variety, features = [], task.references().features
    images, labels = task.other_real_images()
    for index, kind in enumerate(KINDS):
        drawn = sample(task, kind_prompt(kind), PER_KIND, scale)
        for name, judge in judges.items():
            right[name].append(float((KIND_OF[judge.probabilities(drawn).argmax(1)] == index).mean()))
        real = images[torch.from_numpy((KIND_OF[labels] == index) & np.array([CONCEPTS[c][2] == 1 for c in labels]))]
        variety.append(pairwise_distance(features(drawn)) / pairwise_distance(features(real[:PER_KIND])))
    return {
        "guidance_scale": scale,
        "kind_right": {name: round(float(np.mean(values)), 4) for name, values in right.items()},
        "variety_within_kind": round(float(np.mean(variety)), 3),
    }


def generic_figures(task: Fruits, judges: dict[str, Any]) -> dict[str, Any]:
    """Samples of the default prompt: kinds, agreement of the judges, FID."""
    drawn = sample(task, task.settings.prompt, GENERIC)
    decided = {name: judge.probabilities(drawn).argmax(1) for name, judge in judges.items()}
    bench = Bench(task, Measures(), STREAM.at("kid"))
    shares = np.bincount(KIND_OF[decided["held_out"]], minlength=len(KINDS)) / GENERIC
    return {
        "kinds": dict(zip(KINDS, shares.round(4).tolist(), strict=True)),
        "green": float(np.mean([CONCEPTS[c][1] == "green" for c in decided["held_out"]])),
        "two": float(np.mean([CONCEPTS[c][2] == 2 for c in decided["held_out"]])),
        "judges_agree": float((decided["gold"] == decided["held_out"]).mean()),
        "fid": Fidelity.distances(bench, bench.real.features, bench.embedded(drawn))["fid"],
        "fid_floor": Fidelity.distances(bench, bench.real.features, bench.other_real.features)["fid"],
    }


def base_rates(task: Fruits, samples: int) -> dict[str, Any]:
    """Share of base samples that each user prefers, with Wilson's 95% interval; the mean for graded scores."""
    drawn, found = sample(task, task.settings.prompt, samples), {}
    for label in FRUITS.users:
        user = user_of(user_spec(label, FRUITS.users, {}, "card"))
        user.calibrate(task)
        told = user.verdict(drawn)
        found[label] = {"rate": round(float(told.mean()), 4)}
        if set(told) <= {0.0, 1.0}:
            ends = stats.binomtest(int(told.sum()), samples).proportion_ci(method="wilson")
            found[label] |= {"lower": round(float(ends.low), 4), "upper": round(float(ends.high), 4)}
    return {"samples": samples, "users": found}


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
    """Measure the installed artefacts; write `samples.png` and the card."""
    x, concepts = held_out()
    task, judges = Fruits(FruitsSettings()), Fruits(FruitsSettings()).judges()
    parts = {"unet": task.model.pipe.unet, "text_encoder": task.model.pipe.text_encoder, "vae": task.model.pipe.vae}
    figures: dict[str, Any] = {
        "sampler": f"Euler-ancestral, {task.settings.steps} steps, guidance {task.settings.guidance_scale:g}",
        "parameters": {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()},
        "psnr": round(psnr(task.model.pipe.vae, x), 2),
        "judges": judges_figures(judges, x, concepts),
        "guidance": [prompt_fidelity(Fruits(FruitsSettings()), judges, scale) for scale in SCALES],
        "generic": generic_figures(task, judges),
        "base_rates": base_rates(task, RATED),
    }
    grid(task, x).save(folder(NAME) / "samples.png")
    write_card(folder(NAME), task.card | {"figures": figures})
    log(f"{NAME}: FID {figures['generic']['fid']:.2f}, autoencoder {figures['psnr']} dB")


def grid(task: Fruits, x: Tensor) -> Image.Image:
    """Rows of 16: renders, their reconstructions, one row per kind, four of the default prompt."""
    with torch.no_grad():
        copies = task.model.pipe.vae.decode(task.model.pipe.vae.encode(x[:16]).latent_dist.mean).sample.clamp(-1, 1)
    rows = [x[:16], copies, *(sample(task, kind_prompt(kind), 16) for kind in KINDS)]
    tiles = task.model.pack(torch.cat([*rows, sample(task, task.settings.prompt, 64)]))
    tiles = np.pad(tiles.transpose(0, 2, 3, 1), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=20)
    n, side = len(tiles) // 16, tiles.shape[1]
    whole = tiles.reshape(n, 16, side, side, 3).transpose(0, 2, 1, 3, 4).reshape(n * side, 16 * side, 3)
    return Image.fromarray(whole).resize((16 * side * 2, n * side * 2), Image.Resampling.NEAREST)
