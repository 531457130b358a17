"""What task `sd15` needs beside this package, with sizes. Each check returns a line, or says what is missing.

GPU memory is counted, not measured: weights and optimizer states by their number, activations as the tensors
that one 64x64 latent keeps for the backward pass in fp16 (4.0 GB, or 0.2 GB with gradient checkpointing).
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from papa.benchmark.config import Measures
from papa.benchmark.tasks.prompts import PromptBank
from papa.benchmark.tasks.sd15 import ClipSettings, Sd15Settings
from papa.benchmark.tasks.sd15.hub import clip_files, pipeline_folder
from papa.errors import PapaError
from papa.methods.declaration import MethodSettings

Check = Callable[[], str]

IMAGE = 512 * 512 * 3
"""Bytes of a stored image (photographs hardly compress)."""
UNET = 0.86e9
"""Parameters of the UNet."""
FROZEN = 2.1e9 + 1.7e9
"""Bytes of the fp16 pipeline and of the fp32 proxy."""
SAMPLING = 2.0e9
"""Bytes of sampling eight guided images with attention slicing, and of decoding them one by one."""
KEPT, CHECKPOINTED = 4.0e9, 0.2e9
"""Bytes of activations per (item, timestep) pair of a training pass."""


def checks(settings: Sd15Settings, methods: list[MethodSettings], device: str) -> list[Check]:
    """Weights, judges, prompts and GPU memory for these methods on this device."""
    return [
        lambda: f"task sd15: Stable Diffusion in {pipeline_folder(settings, download=False)}",
        lambda: _clip("proxy", settings.proxy),
        lambda: _clip("held_out", settings.held_out),
        lambda: _bank(settings),
        lambda: _memory(methods, device),
    ]


def bytes_per_run(settings: MethodSettings, measures: Measures) -> int:
    """Disk space of one run in bytes: what was shown, the samples of every round, the final ones."""
    return IMAGE * (settings.labels + settings.rounds * measures.per_round + measures.final)


def gpu_bytes(settings: MethodSettings) -> float:
    """GPU memory that a method needs, approximately."""
    training = settings.training
    if training is None:
        return FROZEN + SAMPLING
    activations = training.chunk * (CHECKPOINTED if training.gradient_checkpointing else KEPT)
    if training.trainable == "lora":
        return FROZEN + max(SAMPLING, activations + 0.5e9)
    # fp32: the trained and the frozen copy, gradients, Adam's two moments; and the fp16 weights of autocast.
    return FROZEN + UNET * (5 * 4 + 2) + max(SAMPLING, activations)


def _clip(role: str, settings: ClipSettings) -> str:
    return f"task sd15: {role} in {clip_files(settings, download=False).file}"


def _bank(settings: Sd15Settings) -> str:
    bank = PromptBank([{"kind": name} for name in settings.bank], list(settings.bank.values()))
    return f"task sd15: {len(bank.concepts)} concepts in the prompt bank"


def _memory(methods: list[MethodSettings], device: str) -> str:
    needed = max(map(gpu_bytes, methods)) / 1e9
    if device == "cpu":
        raise PapaError(
            f"task sd15 is made for a CUDA device with about {needed:.0f} GB of memory, and this machine will use its "
            "CPU: there it needs 16 GB of RAM, and one image takes minutes. Run it on a machine with such a GPU."
        )
    there = torch.cuda.get_device_properties(device).total_memory / 1e9
    if there < needed:
        raise PapaError(
            f"task sd15 needs about {needed:.0f} GB of GPU memory for these methods and {device} has {there:.0f} GB. "
            "Set trainable: lora and gradient_checkpointing: true, or lower chunk, in the methods that fine-tune."
        )
    return f"task sd15: about {needed:.0f} GB of GPU memory are needed, {there:.0f} GB are there"
