"""Model cards of tasks with labelled images (digits, mnist): what loading needs, and measured quality."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.config import Measures
from papa.benchmark.metrics.fidelity import Fidelity
from papa.benchmark.metrics.interface import Bench
from papa.benchmark.tasks.artefacts import folder, verified_card
from papa.benchmark.tasks.labelled import LabelledImages
from papa.benchmark.users.strokes import ink
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.rng import Stream
from recipes.shared import Log, hashes, write_card

SAMPLES = 2048


def begin(
    home: Path, name: str, images: Tensor, parts: dict[str, list[int]], recipe: dict[str, Any], about: dict[str, str]
) -> None:
    """Write the card with everything that loading the task needs, before anything is measured."""
    strokes = ink(images)
    card = {"name": name, "about": about, "recipe": recipe, "sha256": hashes(home), "splits": parts}
    card |= {
        "spread": round(float(images.flatten(1).var(0).mean().sqrt()), 4),
        "ink": {"mean": round(float(strokes.mean()), 5), "std": round(float(strokes.std()), 5)},
    }
    write_card(home, card)


def finish(task: LabelledImages, stream: Stream, log: Log) -> None:
    """Measure the installed artefacts and add the figures to the card."""
    figures = measured(task, stream)
    write_card(folder(task.name), verified_card(task.name) | {"figures": figures})
    log(f"{task.name}: FID {figures['fid_to_C']:.2f}, gold accuracy {figures['gold_accuracy']:.3f}")


def nearest_training_image(samples: Tensor, unseen: Tensor, seen: Tensor) -> dict[str, float]:
    """Mean distance to the nearest training image, of samples and of unseen real images.

    near_copies: share of samples below the 1% quantile of the unseen images; 0.01 without memorization.
    """
    of_samples, of_unseen = (torch.cdist(x.flatten(1), seen.flatten(1)).min(1).values for x in (samples, unseen))
    near = (of_samples < of_unseen.quantile(0.01)).float().mean()
    means = {"samples": float(of_samples.mean()), "unseen_real": float(of_unseen.mean())}
    return means | {"near_copies": round(float(near), 4)}


def measured(task: LabelledImages, stream: Stream) -> dict[str, Any]:
    """Quality of the artefacts on samples of the base model and on part C."""
    noise = stream_noise(stream.at("card"), (SAMPLES, *task.model.shape))
    latents = euler_ancestral(task.model.denoiser(Cost()), task.model.sigmas(), noise)
    samples = task.model.unpack(task.model.pack(latents))
    (reference, labels), (seen, _) = task.part("C"), task.other_real_images()
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
    return {
        "gold_accuracy": float((judges["gold"].probabilities(reference).argmax(1) == labels).mean()),
        "held_out_accuracy": float((judges["held_out"].probabilities(reference).argmax(1) == labels).mean()),
        "feature_network_accuracy": float((feature_class == labels).mean()),
        "judges_agree_on_samples": float((judges["held_out"].probabilities(samples).argmax(1) == decided).mean()),
        "class_histogram": (np.bincount(decided, minlength=10) / SAMPLES).round(4).tolist(),
        "fid_to_C": fid["fid"],
        "fid_floor": floor["fid"],
        "nearest_training_image": nearest_training_image(samples, reference, seen),
    }
