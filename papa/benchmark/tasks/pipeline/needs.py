"""Requirements of the tasks `pipeline` and `sd15`, for `papa doctor`. A check returns a line or raises a PapaError.

GPU memory is estimated from the number of parameters; activations are those that one 64x64 latent of Stable Diffusion
1.5 keeps for the backward pass in fp16, scaled by the size of the network.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import torch

from papa.benchmark.config import Measures
from papa.benchmark.tasks.pipeline import PipelineTaskSettings
from papa.benchmark.tasks.pipeline.weights import clip_on_disk, folder_on_disk, weights_of
from papa.benchmark.tasks.prompts import bank_of
from papa.errors import PapaError
from papa.methods.declaration import MethodSettings

IMAGE = 512 * 512 * 3
"""Bytes of a stored image (photographs hardly compress)."""
SD15 = 0.86e9
"""Parameters of Stable Diffusion 1.5's UNet."""
FROZEN = 0.4e9 + 1.7e9 + 2.0e9
"""Bytes of the fp16 text encoder and autoencoder, of the fp32 proxy, and of sampling eight guided images."""
KEPT, CHECKPOINTED = 4.0e9, 0.2e9
"""Bytes of activations per (item, timestep) pair of a training pass, without and with gradient checkpointing."""


def checks(settings: PipelineTaskSettings, methods: list[MethodSettings], device: str) -> list[Callable[[], str]]:
    """Weights, judges, prompts and GPU memory for these methods on this device."""
    return [
        lambda: f"the pipeline is in {folder_on_disk(settings)}",
        lambda: f"the proxy is {clip_on_disk(settings.proxy)}",
        lambda: f"the held-out judge is {clip_on_disk(settings.held_out)}",
        lambda: f"{len(bank_of(settings.bank).concepts)} concepts in the prompt bank",
        lambda: _memory(settings, methods, device),
    ]


def bytes_per_run(settings: MethodSettings, measures: Measures) -> int:
    """Disk space of one run in bytes: labelled images, the samples of every round, and the final ones."""
    return IMAGE * (settings.labels + settings.rounds * measures.per_round + measures.final)


def gpu_bytes(settings: MethodSettings, parameters: float = SD15) -> float:
    """GPU memory that a method needs for a network of so many parameters, approximately."""
    frozen, training = FROZEN + 2 * parameters, settings.training
    if training is None:
        return frozen
    kept = training.chunk * (CHECKPOINTED if training.gradient_checkpointing else KEPT) * parameters / SD15
    # fp32: the trained and the frozen copy, gradients, Adam's two moments; and the fp16 weights of autocast.
    return frozen + kept + (0.5e9 if training.trainable == "lora" else parameters * (5 * 4 + 2))


def _parameters(files: list[Path]) -> float:
    """The number of parameters in safetensors files, by their headers."""
    total = 0
    for file in files:
        with file.open("rb") as opened:
            header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
        total += sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    return total


def _memory(settings: PipelineTaskSettings, methods: list[MethodSettings], device: str) -> str:
    try:
        files = weights_of(folder_on_disk(settings))
        parameters = _parameters([file for file in files if file.suffixes[:-1] == files[0].suffixes[:-1]])
    except PapaError:
        parameters = SD15  # the missing folder is reported by itself
    needed = max(gpu_bytes(method, parameters) for method in methods) / 1e9
    if parameters < SD15 / 10:
        return f"device {device}; a network of {parameters / 1e6:.1f} million parameters"
    if device == "cpu":
        raise PapaError(
            f"the model needs a CUDA device with about {needed:.0f} GB of memory; on this machine's CPU it needs 16 GB "
            "of RAM, and one image takes minutes."
        )
    there = torch.cuda.get_device_properties(device).total_memory / 1e9
    if there < needed:
        raise PapaError(
            f"the model needs about {needed:.0f} GB of GPU memory for these methods and {device} has {there:.0f} GB. "
            "Set trainable: lora and gradient_checkpointing: true, or lower chunk, in the methods that fine-tune."
        )
    return f"about {needed:.0f} GB of {there:.0f} GB GPU memory are needed"
