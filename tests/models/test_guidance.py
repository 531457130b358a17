"""Prompts and their guidance, and the samples that diffusers itself draws."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support import tiny_sd15
from support.drawn_images import at_scale, by_diffusers

from papa.benchmark.tasks.text_to_image import TextToImage
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import stream_noise
from papa.methods.fkc import Fkc, FkcSettings
from papa.rng import Stream

N = 4


def test_at_scale_1_the_guided_path_is_the_conditional_one(task: TextToImage) -> None:
    plain = at_scale(task, 1.0)
    y, sigma = torch.from_numpy(Stream(1).normal(N, *task.model.shape)) * 2, 2.0
    denoise = plain.model.denoiser(cost := Cost())
    with torch.no_grad():
        found = denoise(y, sigma)
        t = torch.full((N,), denoise.timestep(sigma))  # type: ignore[attr-defined]
        prompt = plain.model.pipe.encode_prompt(plain.model.prompt, "cpu", 1, False)[0].expand(N, -1, -1)
        eps = plain.model.pipe.unet(y / (1 + sigma**2) ** 0.5, t, prompt).sample
    torch.testing.assert_close(found, y - sigma * eps, atol=1e-5, rtol=1e-5)
    assert cost.forward == N and plain.model.evaluations_per_step == 1


def test_guidance_goes_through_the_scale_linearly_and_costs_two_evaluations(task: TextToImage) -> None:
    y = torch.from_numpy(Stream(1).normal(N, *task.model.shape))
    cost = Cost()
    with torch.no_grad():
        one, two, three = (at_scale(task, scale).model.denoiser(cost)(y, 1.0) for scale in (1.0, 2.0, 3.0))
    torch.testing.assert_close(three - two, two - one, atol=2e-4, rtol=0)
    assert (two - one).abs().max() > 1e-4 and cost.forward == N + 2 * N + 2 * N


@pytest.mark.parametrize("scale", [1.0, 7.5])
def test_fkc_at_beta_0_draws_what_diffusers_draws(scale: float, task: TextToImage, monkeypatch: Any) -> None:
    task = at_scale(task, scale)
    stream, given = Stream(5), FkcSettings(particles=N, surrogate={"epochs": 1, "channels": 4})  # type: ignore[arg-type]
    method = Fkc(given, task.model, Stream(0), lambda n: torch.zeros(0))
    found = method.population(1, {"beta": 0.0, "gamma": 0.0}, stream)
    noise = stream_noise(stream, (N, *task.model.shape), task.model.dtype)
    pipe = tiny_sd15.reference(tiny_sd15.folder_of(task), dtype=torch.float32)
    expected = by_diffusers(pipe, task, noise, N, monkeypatch)
    assert len(set(found.parents[0].tolist())) == N  # equal weights: everyone survives
    torch.testing.assert_close(found.samples, expected[found.parents[0]], atol=1e-4, rtol=1e-4)
