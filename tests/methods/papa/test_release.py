"""The published preset against what the release computes, written down plainly.

The release (NasikNafi/papa, tools/train_papa.py) takes one Adam step for each image. A process p of P goes through its
part of the timesteps with one noise of its own, adds up lambda_t times the mean squared error of the noise, and for a
liked image adds the mean squared distance to the base's prediction at the part's last timestep; the gradients of the
processes are averaged. alpha-bar before the first timestep is that of the last one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from support import tiny
from support.nets import small_unet
from support.small_papa import PUBLISHED_BETAS
from torch import Tensor, nn

from papa.methods._finetune import Update
from papa.methods.papa import EpapaSettings, Papa, PapaSettings
from papa.models.unet import UNetModel
from papa.rng import Stream

T, K = 1000, 400
C_PREF, C_QPDE = 0.1, 0.009


@pytest.fixture(scope="module")
def model() -> UNetModel:
    unet: Any = small_unet(
        sample_size=4,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    return UNetModel(unet, DDPMScheduler(T, beta_start=1e-4, beta_end=0.02, timestep_spacing="linspace"))


def released(net: nn.Module, base: nn.Module, x0: Tensor, label: float, noises: Tensor, first: int) -> Tensor:
    """The gradient of one step as one vector. noises: (processes, 1, H, W)."""
    alpha = torch.from_numpy(1 - PUBLISHED_BETAS).float()
    abar = torch.cumprod(alpha, 0)
    net.zero_grad()
    for process, steps in enumerate(np.array_split(np.arange(first, T), len(noises))):
        noise, total, t, x_t, predicted = noises[process : process + 1], torch.zeros(()), 0, x0, x0
        for t in steps.tolist():
            x_t = abar[t].sqrt() * x0 + (1 - abar[t]).sqrt() * noise
            predicted = net(x_t, torch.tensor([t])).sample
            weight = (1 - alpha[t]) / (alpha[t] * (1 - abar[t - 1]))  # at 0 that is the last one
            total = total + weight * (predicted - noise).square().mean()
        loss = label * C_PREF * total
        if label == 1:
            with torch.no_grad():
                kept = base(x_t, torch.tensor([t])).sample
            loss = loss + C_QPDE * (predicted - kept).square().mean()
        (loss / len(noises)).backward()
    return flat(net)


def flat(net: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])


@pytest.mark.parametrize("processes", [1, 8])
@pytest.mark.parametrize("liked", [True, False])
@pytest.mark.parametrize("cls", [PapaSettings, EpapaSettings])
def test_the_gradient_is_the_releases(model: UNetModel, cls: type[PapaSettings], liked: bool, processes: int) -> None:
    settings = tiny.small(cls, preset="published", timesteps="exact", processes=processes, chunk=125)
    papa = Papa(settings, model, Stream(0), lambda n: torch.zeros(n, *model.shape))
    rng = Stream(1).generator()
    with torch.no_grad():
        for parameter in papa.network.parameters():  # away from the base, where the second term has no gradient
            parameter.add_(0.05 * torch.from_numpy(rng.standard_normal(parameter.shape, dtype=np.float32)))
    x0 = torch.from_numpy(rng.standard_normal((1, *model.shape), dtype=np.float32))
    step = Update(x0, np.array([float(liked)]), Stream(2))
    first = K if cls is EpapaSettings else 0
    noises = papa.noise(step, shared=True)(0)[:: (T - first) // processes]
    wanted = released(papa.network, papa.base, x0, 1.0 if liked else -1.0, noises, first).clone()
    papa.network.zero_grad()
    papa.gradient(step)
    found = flat(papa.network)
    assert len(noises) == processes == len(noises.flatten(1).unique(dim=0))
    assert nn.functional.cosine_similarity(found.double(), wanted.double(), 0).item() > 1 - 1e-6
    assert (found.norm() / wanted.norm()).item() == pytest.approx(1, rel=1e-3)
