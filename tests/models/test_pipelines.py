"""A folder in Stable Diffusion 1.5's layout: loading, its options, latents and noise levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler
from diffusers.models.attention_processor import SlicedAttnProcessor
from support import tiny_sd15
from support.drawn_images import images_of

from papa.benchmark.tasks.pipeline.task import PipelineTask
from papa.benchmark.tasks.text_to_image import TextToImage
from papa.diffusion.denoiser import Cost
from papa.diffusion.schedule import sigmas_of
from papa.errors import DivergedError


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("checker", [False, True])
def test_a_folder_of_the_hubs_layout_loads(half: bool, checker: bool) -> None:
    task = PipelineTask(tiny_sd15.settings(model=str(tiny_sd15.pipeline(half, checker))))
    assert task.model.pipe.safety_checker is None
    assert task.model.shape == (4, 8, 8) and task.model.prompt == "a photo of a fruit"
    pipe = task.model.pipe
    assert pipe.unet.dtype == pipe.vae.dtype == pipe.text_encoder.dtype == torch.float32  # auto, CPU


@pytest.mark.parametrize("on", [False, True])
def test_slicing_and_tiling_follow_the_settings_and_change_nothing(on: bool, small: PipelineTask) -> None:
    given = dict.fromkeys(("attention_slicing", "vae_slicing", "vae_tiling"), on)
    task = PipelineTask(tiny_sd15.settings(**given))
    sliced = [isinstance(p, SlicedAttnProcessor) for p in task.model.pipe.unet.attn_processors.values()]
    assert all(sliced) if on else not any(sliced)
    assert task.model.pipe.vae.use_slicing is on and task.model.pipe.vae.use_tiling is on
    torch.testing.assert_close(images_of(task, 3), images_of(small, 3), atol=1e-4, rtol=0)


def test_images_that_are_not_finite_are_refused(task: TextToImage) -> None:
    with pytest.raises(DivergedError, match="fp32"), torch.no_grad():
        task.model.decode(torch.full((2, *task.model.shape), torch.nan))


def test_the_noise_levels_are_those_of_diffusers_own_scheduler(task: TextToImage) -> None:
    pipe = tiny_sd15.reference(tiny_sd15.folder_of(task))
    scheduler: Any = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config)
    scheduler.set_timesteps(task.settings.steps)
    np.testing.assert_array_equal(task.model.sigmas(), scheduler.sigmas)
    assert task.model.alphas_cumprod is not None
    levels = sigmas_of(task.model.alphas_cumprod.double())
    timesteps = [task.model.denoiser(Cost()).timestep(sigma) for sigma in task.model.sigmas()[:-1].tolist()]  # type: ignore[attr-defined]
    np.testing.assert_allclose(timesteps, scheduler.timesteps, atol=1e-3)
    if isinstance(task, PipelineTask):
        assert levels[0].item() == pytest.approx((1 / (1 - 0.00085) - 1) ** 0.5, rel=1e-4) and len(levels) == 1000
