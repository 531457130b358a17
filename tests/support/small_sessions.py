"""Small variants of every method, and a whole session with one user."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from papa.benchmark.registry import METHODS, USERS
from papa.benchmark.tasks.text_to_image import TextToImage
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.methods.interface import Method
from papa.rng import Stream
from papa.session import interact
from support import tiny

LORA: dict[str, Any] = {"trainable": "lora", "lora_rank": 2}


VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "base": ("base", {}),
    "best_of_n": ("best_of_n", {}),
    "fkc": ("fkc", {}),
    "papa": ("papa", {"lr": 1e-3}),
    "epapa": ("epapa", {"lr": 1e-3}),
    "papa-lora": ("papa", LORA | {"lr": 1e-2, "gradient_checkpointing": True}),
}


def base_of(task: TextToImage) -> Any:
    """n -> the first n base latents."""

    def draw(n: int) -> Tensor:
        return euler_ancestral(task.denoiser(Cost()), task.sigmas(), stream_noise(Stream(0), (n, *task.shape)))

    return draw


def build(name: str, task: TextToImage, **given: Any) -> Method[Any]:
    """A variant from above, small."""
    algorithm, own = VARIANTS[name]
    settings = tiny.small(METHODS[algorithm].settings, **(own | given))
    return METHODS[algorithm].load()(settings, task, Stream(0), base_of(task))


def played(method: Method[Any], task: TextToImage, log: Any = ()) -> list[Any]:
    """A whole session with somebody who likes apples."""
    user = USERS["sd15"]["apple"].load()
    user.meet(task)
    return list(interact(method, user, task, Stream(1), tiny.SMALL["labels"], tiny.SMALL["per_round"], log))


def weights(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().float().flatten() for p in net.parameters() if p.requires_grad])
