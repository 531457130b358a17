"""Images as a task draws them, and as diffusers itself does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import EulerAncestralDiscreteScheduler
from torch import Tensor

from papa.benchmark.tasks.text_to_image import TextToImage
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.rng import Stream


def images_of(task: TextToImage, n: int = 12) -> Tensor:
    """Base images of a task."""
    noise = stream_noise(Stream(3), (n, *task.model.shape), task.model.dtype)
    with torch.no_grad():
        return task.model.decode(euler_ancestral(task.model.denoiser(Cost()), task.model.sigmas(), noise))


def at_scale(task: TextToImage, scale: float) -> TextToImage:
    """The same task with another guidance scale."""
    return type(task)(task.settings.model_copy(update={"guidance_scale": scale}))


def by_diffusers(pipe: Any, task: TextToImage, noise: Callable[[int], Tensor], n: int, patch: Any) -> Tensor:
    """What diffusers itself draws, Euler-ancestral, from the same noise: (n, ...) latents."""
    steps = iter(range(1, task.settings.steps + 1))
    where = "diffusers.schedulers.scheduling_euler_ancestral_discrete.randn_tensor"
    patch.setattr(where, lambda *args, **kw: noise(next(steps)))
    pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config)
    return pipe(
        prompt=[task.model.prompt] * n,
        num_inference_steps=task.settings.steps,
        guidance_scale=task.settings.guidance_scale,
        latents=noise(0),
        output_type="latent",
    ).images
