"""Small variants of every method, and a whole session with one user."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from papa.benchmark.tasks.text_to_image import TextToImage
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.methods import METHODS, declaration
from papa.methods.interface import Method
from papa.rng import Stream
from papa.session import Round
from support import tiny
from support.playing import rounds_of
from support.users_of import user_of

LORA: dict[str, Any] = {"trainable": "lora", "lora_rank": 2}


VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "base": ("base", {}),
    "best_of_n": ("best_of_n", {}),
    "fkc": ("fkc", {}),
    "papa": ("papa", {"lr": 1e-3}),
    "epapa": ("epapa", {"lr": 1e-3}),
    "papa-lora": ("papa", LORA | {"lr": 1e-2, "gradient_checkpointing": True}),
}
VARIANTS |= {
    name: (name, {}) for name in METHODS if name not in VARIANTS and not declaration(name).settings().needs_adapter
}


def base_of(task: TextToImage) -> Any:
    """n -> the first n base latents."""
    model = task.model

    def draw(n: int) -> Tensor:
        return euler_ancestral(model.denoiser(Cost()), model.sigmas(), stream_noise(Stream(0), (n, *model.shape)))

    return draw


def build(name: str, task: TextToImage, **given: Any) -> Method[Any]:
    """A variant from above, small."""
    algorithm, own = VARIANTS[name]
    declared = declaration(algorithm)
    return declared.method(tiny.small(declared.settings, **(own | given)), task.model, Stream(0), base_of(task))


def played(method: Method[Any], task: TextToImage, user: Any = None) -> list[Round]:
    """A whole session with somebody, by default one who likes apples."""
    if user is None:
        user = user_of("sd15", "apple")
        user.calibrate(task)
    return list(rounds_of(method, user, Stream(1), tiny.SMALL["labels"], tiny.SMALL["per_round"]))


def weights(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().float().flatten() for p in net.parameters() if p.requires_grad])
