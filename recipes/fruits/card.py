"""The model card of the `fruits` artefacts: what they are and how good they are, measured on fresh renders."""

from __future__ import annotations

from collections.abc import Callable
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
from papa.benchmark.tasks.artefacts import folder, verified_card
from papa.benchmark.tasks.fruits import FRUITS, FruitsSettings
from papa.benchmark.tasks.fruits.captions import kind_prompt, phrase
from papa.benchmark.tasks.fruits.render import CONCEPTS, KINDS, pictures
from papa.benchmark.tasks.fruits.task import NAME, Fruits
from papa.benchmark.tasks.images import to_range
from papa.benchmark.tasks.prompts import ClipJudge, PromptBank
from papa.benchmark.users import user_spec
from papa.benchmark.users.interface import user_of
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.files import write_atomic
from papa.rng import Stream
from recipes.fruits.autoencoder import psnr
from recipes.shared import write_card

HELD_OUT = 1600
GENERIC = 1024
PER_KIND = 64
RATED = 4096
"""Samples of the default prompt from which the users' base rates are taken."""
STREAM = Stream(2026).at(NAME, "card")
KIND_OF = np.array([list(KINDS).index(kind) for kind, _, _ in CONCEPTS])
SCALES = (1.0, 2.0, 3.0, 5.0, 7.5)


def sample(task: Fruits, prompt: str, n: int, scale: float | None = None) -> Tensor:
    """n images of a prompt, as they are stored, at the default guidance or another."""
    if scale is not None:
        task.model.settings = task.model.settings.model_copy(update={"guidance_scale": scale})
    noise = stream_noise(STREAM.at("noise", prompt), (n, *task.model.shape))
    with task.model.prompted(prompt):
        images = task.model.decode(euler_ancestral(task.model.denoiser(Cost()), task.model.sigmas(), noise))
    return task.model.unpack(task.model.pack(images))


def zero_shot(judge: ClipJudge, prompts: list[str], x: Tensor, truth: list[int]) -> float:
    """Accuracy of one of the OpenCLIP models over other prompts than the bank's."""
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


def drawn_right(task: Fruits, judges: dict[str, Any], scale: float) -> dict[str, Any]:
    """Share of the samples of each kind's prompt that a judge takes for that kind, and their variety."""
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
        "kind_right_by_kind": dict(zip(KINDS, np.round(right["held_out"], 3).tolist(), strict=True)),
        "variety_within_kind": round(float(np.mean(variety)), 3),
    }


def generic_figures(task: Fruits, judges: dict[str, Any]) -> dict[str, Any]:
    """What the base model draws under its default prompt."""
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
    """User -> share of the base's samples that it likes, with Wilson's 95% interval; of those who grade, the mean."""
    drawn, found = sample(task, task.settings.prompt, samples), {}
    for label in FRUITS.users:
        user = user_of(user_spec(label, FRUITS.users, {}, "card"))
        user.meet(task)
        told = user.verdict(drawn)
        found[label] = {"rate": round(float(told.mean()), 4)}
        if set(told) <= {0.0, 1.0}:
            ends = stats.binomtest(int(told.sum()), samples).proportion_ci(method="wilson")
            found[label] |= {"lower": round(float(ends.low), 4), "upper": round(float(ends.high), 4)}
    return {"samples": samples, "users": found}


def held_out() -> tuple[Tensor, np.ndarray]:
    """Renders that nothing was trained on, and their concepts."""
    images, shown = pictures(HELD_OUT, STREAM.at("held-out").generator())
    return to_range(images), np.array([what.concept for what in shown])


def begin(home: Path, recipe: dict[str, Any], sha256: dict[str, str]) -> None:
    """The card before anything is measured: what the task needs to load."""
    vae: Any = AutoencoderKL.from_pretrained(home / "pipeline" / "vae", low_cpu_mem_usage=False).float()
    with torch.no_grad():
        latents = vae.encode(held_out()[0]).latent_dist.mean * vae.config.scaling_factor
    spread = round(float(latents.flatten(1).var(0).mean().sqrt()), 4)
    write_card(home, {"name": NAME, "recipe": recipe, "sha256": sha256, "spread": spread})


def finish(log: Callable[[str], None]) -> None:
    """Measure the shipped artefacts; write `card.json`, `samples.png` and `README.md`."""
    home, (x, concepts) = folder(NAME), held_out()
    task, judges = Fruits(FruitsSettings()), Fruits(FruitsSettings()).judges()
    figures: dict[str, Any] = {"psnr": round(psnr(task.model.pipe.vae, x), 2)}
    log(f"autoencoder: {figures['psnr']} dB")
    figures["judges"] = judges_figures(judges, x, concepts)
    log(f"judges: {figures['judges']}")
    figures["guidance"] = [drawn_right(Fruits(FruitsSettings()), judges, scale) for scale in SCALES]
    for row in figures["guidance"]:
        log(f"samples: {row}")
    figures["generic"] = generic_figures(task, judges)
    log(f"{task.settings.prompt}: {figures['generic']}")
    parts = {"unet": task.model.pipe.unet, "text_encoder": task.model.pipe.text_encoder, "vae": task.model.pipe.vae}
    figures["parameters"] = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    figures["sampler"] = f"Euler-ancestral, {task.settings.steps} steps, guidance {task.settings.guidance_scale:g}"
    grid(task, x).save(home / "samples.png")
    figures["base_rates"] = base_rates(task, RATED)
    write(task.card | {"figures": figures})


def write(card: dict[str, Any]) -> None:
    """Write `card.json` and, made from it, `README.md`."""
    write_card(folder(NAME), card)
    write_atomic(folder(NAME) / "README.md", readme())


def grid(task: Fruits, x: Tensor) -> Image.Image:
    """Rows of 16: renders, the autoencoder's copies of them, one row for each kind, four of the default prompt."""
    with torch.no_grad():
        copies = task.model.pipe.vae.decode(task.model.pipe.vae.encode(x[:16]).latent_dist.mean).sample.clamp(-1, 1)
    rows = [x[:16], copies, *(sample(task, kind_prompt(kind), 16) for kind in KINDS)]
    tiles = task.model.pack(torch.cat([*rows, sample(task, task.settings.prompt, 64)]))
    tiles = np.pad(tiles.transpose(0, 2, 3, 1), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=20)
    n, side = len(tiles) // 16, tiles.shape[1]
    whole = tiles.reshape(n, 16, side, side, 3).transpose(0, 2, 1, 3, 4).reshape(n * side, 16 * side, 3)
    return Image.fromarray(whole).resize((16 * side * 2, n * side * 2), Image.Resampling.NEAREST)


def readme() -> str:
    """The card as Markdown, made from `card.json`."""
    card = verified_card(NAME)
    f, generic = card["figures"], card["figures"]["generic"]
    size = sum((folder(NAME) / name).stat().st_size for name in card["sha256"]) / 1e6
    judges = "\n".join(
        f"| {name} | {own['kind']:.3f} | {own.get('kind_and_colour', float('nan')):.3f} | {own['concept']:.3f} |"
        for name, own in f["judges"].items()
    ).replace("nan", "–")
    guidance = "\n".join(
        f"| {row['guidance_scale']:g} | {row['kind_right']['gold']:.3f} | {row['kind_right']['held_out']:.3f} | "
        f"{row['kind_right']['attributes']:.3f} | {row['variety_within_kind']:.2f} |"
        for row in f["guidance"]
    )
    kinds = ", ".join(f"{kind} {share:.1%}" for kind, share in generic["kinds"].items())
    files = "\n".join(f"| `{name}` | `{digest}` |" for name, digest in sorted(card["sha256"].items()))
    rates = "\n".join(
        f"| {label} | {own['rate']:.4f} | "
        + (f"{own['lower']:.4f} to {own['upper']:.4f}" if "lower" in own else "a mean grade")
        + " |"
        for label, own in sorted(f["base_rates"]["users"].items(), key=lambda item: -item[1]["rate"])
    )
    parameters = ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in f["parameters"].items())
    return f"""# Model card: fruits

Made by `papa prepare --task fruits --retrain`; this page is generated from `card.json`. {size:.1f} MB in all.

* **Data.** {card["recipe"]["pictures"]:,} rendered pictures of eight kinds of fruit (32x32,
  `papa/benchmark/tasks/fruits/render.py`), in one to three colours, one or two of them, small or large, on five
  backgrounds; captions with a tenth empty and a tenth generic. Seed {card["recipe"]["seed"]}.
* **Model.** A `StableDiffusionPipeline`: autoencoder 32x32x3 to 4x8x8, CLIP text encoder, conditional UNet
  ({parameters}), Stable Diffusion's schedule.
* **Labelling proxy** (`proxy`): an OpenCLIP model (ViT) on the first half of the pictures. **Held-out judges**: an
  OpenCLIP model of another architecture (ResNet) and a classifier of the true attributes, on the second half.
  **Feature network** of FID: a classifier on the first half.

![Renders, the autoencoder's copies, samples of each kind, samples of the default prompt](samples.png)

From the top: renders, the autoencoder's copies of them, one row for each kind's prompt, four rows of
"{FruitsSettings().prompt}". {f["sampler"]}.

Autoencoder on held-out renders: {f["psnr"]:.1f} dB. Accuracy of the judges on held-out renders (OpenCLIP: zero-shot):

| judge | kind | kind and colour | kind, colour and number |
|:--|--:|--:|--:|
{judges}

Samples of each kind's prompt that a judge takes for that kind, and their mean pairwise feature distance over that
of renders of the kind:

| guidance | proxy | held-out OpenCLIP | attributes | variety |
|--:|--:|--:|--:|--:|
{guidance}

Samples of the default prompt, by the held-out OpenCLIP: {kinds}; green {generic["green"]:.1%}, two of a kind
{generic["two"]:.1%}. The proxy agrees with it on {generic["judges_agree"]:.1%}. FID to renders {generic["fid"]:.2f}
(renders against renders {generic["fid_floor"]:.2f}).

What the users of the task like of {f["base_rates"]["samples"]:,} samples of the default prompt, and a 95% interval
(Wilson):

| user | base rate | interval |
|:--|--:|:--|
{rates}

| file | sha256 |
|:--|:--|
{files}
"""
