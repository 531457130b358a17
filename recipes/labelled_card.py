"""Model cards of tasks of labelled pictures: what the artefacts are and how good they are, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.config import Measures
from papa.benchmark.metrics.fidelity import Fidelity
from papa.benchmark.metrics.interface import Bench
from papa.benchmark.tasks.labelled import LabelledPictures
from papa.benchmark.users.strokes.user import ink
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.rng import Stream
from recipes.shared import write_card

SAMPLES = 2048


def begin(
    home: Path, name: str, images: Tensor, parts: dict[str, list[int]], recipe: dict[str, Any], sha256: dict[str, str]
) -> None:
    """The card before anything is measured: what the task needs to load."""
    strokes = ink(images)
    card = {
        "name": name,
        "recipe": recipe,
        "sha256": sha256,
        "splits": parts,
        "spread": round(float(images.flatten(1).var(0).mean().sqrt()), 4),
        "ink": {"mean": round(float(strokes.mean()), 5), "std": round(float(strokes.std()), 5)},
    }
    write_card(home, card)


def nearest(a: Tensor, b: Tensor) -> Tensor:
    """(n,) distances of the pictures of a to their nearest one of b."""
    return torch.cdist(a.flatten(1), b.flatten(1)).min(1).values


def nearest_training_image(samples: Tensor, unseen: Tensor, seen: Tensor) -> dict[str, float]:
    """Whether samples are nearer to training images than unseen real images are.

    near_copies: the share of samples that are nearer than all but one in a hundred of the unseen images; 0.01 where
    no sample is a copy. Runs have a finer measure of lesser leanings (`memorized`, papa/benchmark/metrics/manifold.py).
    """
    of_samples, of_unseen = nearest(samples, seen), nearest(unseen, seen)
    near = (of_samples < of_unseen.quantile(0.01)).float().mean()
    return {
        "samples": float(of_samples.mean()),
        "unseen_real": float(of_unseen.mean()),
        "near_copies": round(float(near), 4),
    }


def drawn(task: LabelledPictures[Any], stream: Stream) -> Tensor:
    """What the base model draws, in bytes as it would be saved."""
    noise = stream_noise(stream.at("card"), (SAMPLES, *task.model.shape))
    latents = euler_ancestral(task.model.denoiser(Cost()), task.model.sigmas(), noise)
    return task.model.unpack(task.model.pack(latents))


def measured(task: LabelledPictures[Any], stream: Stream) -> dict[str, Any]:
    """The quality of the artefacts, on samples of the base model and on part C."""
    samples = drawn(task, stream)
    (reference, labels), (seen, seen_labels) = task.part("C"), task.other_real_images()
    judges = task.judges()
    decided = judges["gold"].probabilities(samples).argmax(1)
    bench = Bench(task, Measures(), stream.at("card", "kid"))
    features = task.references().features
    with torch.no_grad():
        feature_class = features.net(reference).argmax(1).numpy()  # pyright: ignore[reportCallIssue]
    real = bench.embedded(reference)
    fid = Fidelity.distances(bench, real, bench.embedded(samples))
    chosen = torch.from_numpy(stream.at("card", "floor").generator().integers(len(seen), size=SAMPLES))
    floor = Fidelity.distances(bench, real, bench.embedded(seen[chosen]))
    agreement = float((judges["held_out"].probabilities(samples).argmax(1) == decided).mean())
    return {
        "sampler": f"Euler-ancestral, {task.settings.steps} steps, {SAMPLES} samples",
        "largest_sigma": round(task.model.sigmas()[0].item(), 2),
        "gold_accuracy": float((judges["gold"].probabilities(reference).argmax(1) == labels).mean()),
        "held_out_accuracy": float((judges["held_out"].probabilities(reference).argmax(1) == labels).mean()),
        "feature_network_accuracy": float((feature_class == labels).mean()),
        "judges_agree_on_samples": agreement,
        "class_histogram": (np.bincount(decided, minlength=10) / SAMPLES).round(4).tolist(),
        "class_histogram_of_data": (np.bincount(seen_labels, minlength=10) / len(seen_labels)).round(4).tolist(),
        "fid_to_C": fid["fid"],
        "fid_floor": floor["fid"],
        "kid_to_C": fid["kid"],
        "kid_floor": floor["kid"],
        "nearest_training_image": nearest_training_image(samples, reference, seen),
        "unet_parameters": sum(p.numel() for p in task.model.network().parameters()),
    }


def readme(card: dict[str, Any], title: str, data: str, base: str, judges: str) -> str:
    """The card as Markdown, made from `card.json`. data, base, judges: sentences about the task."""
    figures = card["figures"]
    near = figures["nearest_training_image"]
    histogram = ", ".join(f"{digit}: {share:.3f}" for digit, share in enumerate(figures["class_histogram"]))
    of_data = ", ".join(f"{digit}: {share:.3f}" for digit, share in enumerate(figures["class_histogram_of_data"]))
    a, b, c = (len(card["splits"][part]) for part in "ABC")
    files = "\n".join(f"| `{name}` | `{digest}` |" for name, digest in sorted(card["sha256"].items()))
    return f"""# Model card: {title}

Made by {commands(card)}; this page is generated from `card.json`.

* **Data.** {data} Three
  disjoint stratified parts: A ({a}), B ({b}), C ({c}).
* **Base model.** {base} Largest VE noise
  level {figures["largest_sigma"]}.
* {judges}

| measured | value |
|:--|--:|
| gold judge, accuracy on C | {figures["gold_accuracy"]:.3f} |
| held-out judge, accuracy on C | {figures["held_out_accuracy"]:.3f} |
| feature network, accuracy on C | {figures["feature_network_accuracy"]:.3f} |
| judges agree on base samples | {figures["judges_agree_on_samples"]:.3f} |
| FID of base samples to C (real against real) | {figures["fid_to_C"]:.2f} ({figures["fid_floor"]:.2f}) |
| KID of base samples to C (real against real) | {figures["kid_to_C"]:.4f} ({figures["kid_floor"]:.4f}) |
| mean distance to the nearest training image: samples | {near["samples"]:.2f} |
| the same for unseen real images (memorization would be far below) | {near["unseen_real"]:.2f} |
| samples nearer to one than 99% of unseen images are (0.010 where none is a copy) | {near["near_copies"]:.3f} |

{figures["sampler"]}. Classes of the samples by the gold judge: {histogram}. Of the training data: {of_data}.

| file | sha256 |
|:--|:--|
{files}
"""


def commands(card: dict[str, Any]) -> str:
    """What makes the artefacts: a command, and one more for each time that the base model was trained further."""
    first = f"`papa prepare --task {card['name']} --retrain`"
    further, recipe = [], card["recipe"]
    while "before" in recipe:
        further.append(f" and then `papa prepare --task {card['name']} --retrain --onwards --steps {recipe['steps']}`")
        recipe = recipe["before"]
    return first + "".join(reversed(further))
