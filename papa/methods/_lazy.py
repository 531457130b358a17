"""Modules that need torch, imported at their first use: reading settings imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papa.registry import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from papa.diffusion import denoiser, sampler, schedule, trajectory
    from papa.diffusion import losses as denoising
    from papa.diffusion.denoiser import Denoiser
    from papa.diffusion.trajectory import Trajectory
    from papa.methods import _queries, _reward_models, losses
    from papa.models import base_samples, lora, switched
    from papa.models.interface import Model
    from papa.models.personal import encoder
    from papa.smc import fkc as smc
    from papa.smc import steering, tempering
    from papa.smc.population import Particles
else:
    Tensor = Denoiser = Trajectory = Model = Particles = None
    torch, nn = lazy("torch", "torch.nn")
    denoiser, sampler, schedule, trajectory, denoising = lazy(
        *("papa.diffusion.denoiser", "papa.diffusion.sampler", "papa.diffusion.schedule", "papa.diffusion.trajectory"),
        "papa.diffusion.losses",
    )
    _queries, _reward_models, losses = lazy(
        "papa.methods._queries", "papa.methods._reward_models", "papa.methods.losses"
    )
    base_samples, lora, switched = lazy("papa.models.base_samples", "papa.models.lora", "papa.models.switched")
    encoder = lazy("papa.models.personal.encoder")
    smc, steering, tempering = lazy("papa.smc.fkc", "papa.smc.steering", "papa.smc.tempering")
