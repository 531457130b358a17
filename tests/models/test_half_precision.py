"""A task in float16: close to float32, and trained with a scaled loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support import tiny, tiny_sd15
from support.small_sessions import LORA, build, played, weights
from torch import nn

from papa.benchmark.tasks.digits.task import Digits
from papa.benchmark.tasks.pipeline.task import PipelineTask
from papa.diffusion.denoiser import Cost
from papa.diffusion.losses import unscaled
from papa.errors import DivergedError
from papa.methods._finetune import LOSS_SCALE, Update
from papa.methods.papa import Papa, PapaSettings
from papa.rng import Stream

N = 4


@pytest.fixture(scope="module")
def half() -> PipelineTask:
    return PipelineTask(tiny_sd15.settings(model=str(tiny_sd15.pipeline(half=True)), dtype="fp16"))


def test_half_precision_runs_close_to_float32_and_answers_in_float32(small: PipelineTask) -> None:
    half = PipelineTask(tiny_sd15.settings(model=str(tiny_sd15.pipeline(half=True)), dtype="fp16"))
    assert half.model.pipe.unet.dtype == half.model.pipe.vae.dtype == torch.float16
    y = torch.from_numpy(Stream(1).normal(N, *small.model.shape)) * 3
    with torch.no_grad():
        exact, rounded = small.model.denoiser(Cost())(y, 3.0), half.model.denoiser(Cost())(y, 3.0)
    assert rounded.dtype == torch.float32 and half.model.dtype == torch.float32
    # A processor with units for half precision (AMX) rounds more often: 0.06 there, less than 0.05 elsewhere.
    assert 0 < (exact - rounded).abs().max() < 0.15
    assert (exact - rounded).abs().mean() < 0.02
    assert half.model.decode(y).dtype == torch.float32


@pytest.mark.parametrize("given", [{}, LORA])
def test_half_precision_trains_float32_weights_with_a_scaled_loss(given: dict[str, Any], half: PipelineTask) -> None:
    method = build("papa", half, **given)
    assert method.loss_scale == LOSS_SCALE and {p.dtype for p in method.trained.values()} == {torch.float32}
    if given:
        assert {p.dtype for p in method.network.parameters() if not p.requires_grad} == {torch.float16}
    start = weights(method.network)
    played(method, half)
    assert method.sample(2).dtype == torch.float32 and torch.isfinite(method.sample(2)).all()
    assert (weights(method.network) - start).abs().max() > 0
    assert method.diagnostics()["loss_scale"] <= LOSS_SCALE


def test_half_precision_gradients_agree_with_float32(half: PipelineTask, small: PipelineTask) -> None:
    found = []
    for task in (half, small):
        method = build("papa", task, timesteps=2)
        x0 = torch.from_numpy(Stream(2).normal(4, *task.model.shape))
        losses = method._scaled(Update(x0, np.array([1.0, 0.0, 1.0, 1.0]), Stream(3)))
        found.append((losses, torch.cat([p.grad.flatten() for p in method.trained.values()])))
    (rounded, in_half), (exact, in_full) = found
    assert rounded == pytest.approx(exact, abs=2e-3)
    assert torch.nn.functional.cosine_similarity(in_half, in_full, dim=0) > 0.999


def test_an_infinite_gradient_halves_the_scale_and_loses_no_update(half: PipelineTask) -> None:
    method = build("papa", half)
    method.loss_scale = 2.0**32
    start = weights(method.network)
    played(method, half)
    assert method.loss_scale < 2.0**32
    assert torch.isfinite(weights(method.network)).all() and (weights(method.network) - start).abs().max() > 0


def test_a_gradient_that_is_never_finite_is_divergence(half: PipelineTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("papa.diffusion.losses.unscaled", lambda *args: False)
    method = build("papa", half)
    method.loss_scale = 4.0
    with pytest.raises(DivergedError, match="gradient"):
        played(method, half)


def test_dividing_the_scale_out_is_exact() -> None:
    parameter = nn.Parameter(torch.zeros(1000))
    values = torch.from_numpy(Stream(0).normal(1000))
    parameter.grad = values * LOSS_SCALE
    assert unscaled([parameter], LOSS_SCALE)
    torch.testing.assert_close(parameter.grad, values, atol=0, rtol=0)
    parameter.grad[3] = torch.inf
    assert not unscaled([parameter], 2.0)


def test_float32_has_no_scale(small: PipelineTask, digits: Digits) -> None:
    assert build("papa", small).loss_scale is None and "loss_scale" not in build("papa", small).diagnostics()
    assert Papa(tiny.small(PapaSettings), digits.model, Stream(0), lambda n: torch.zeros(0)).loss_scale is None
