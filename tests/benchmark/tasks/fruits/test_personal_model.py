"""The shipped adapter on the shipped pipeline: the base at scale 0, and the same pictures after a reload."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from papa.benchmark.personal.study import sample_images
from papa.benchmark.tasks.fruits import FruitsSettings
from papa.benchmark.tasks.fruits.personal import load
from papa.benchmark.tasks.fruits.task import Fruits
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.errors import ModelError
from papa.models.personal.adapter import UserAdapter, read_adapter, save_adapter, weights_hash
from papa.models.personal.attention import projections
from papa.models.personal.encoder import Choices
from papa.models.pipeline import PipelineModel
from papa.rng import Stream

N, PROMPT, NOISE = 4, "a photo of fruit", Stream(1)


@pytest.fixture(scope="module")
def task() -> Fruits:
    return Fruits(FruitsSettings(steps=3))


@pytest.fixture(scope="module")
def tokens(task: Fruits) -> torch.Tensor:
    known = task.known_images()[0]
    return load().encoder.encode(Choices(known[:4], known[4:8]))


def pictures(model: PipelineModel) -> torch.Tensor:
    return sample_images(model, PROMPT, N, NOISE)


def latents(model: PipelineModel) -> torch.Tensor:
    return euler_ancestral(model.denoiser(Cost()), model.sigmas(), stream_noise(NOISE, (N, *model.shape)))


def test_scale_0_gives_the_base_back_and_no_weight_changes(task: Fruits, tokens: torch.Tensor) -> None:
    before = weights_hash(task.model.pipe.unet)
    off = task.model.with_adapter(load(), 0.0).conditioned_on(tokens)
    torch.testing.assert_close(latents(off), latents(task.model), atol=1e-5, rtol=0)
    on = task.model.with_adapter(load()).conditioned_on(tokens)
    assert (latents(on) - latents(task.model)).abs().max() > 1e-2
    assert weights_hash(task.model.pipe.unet) == weights_hash(on.pipe.unet) == before
    assert not projections(task.model.pipe.unet), "the model itself was left as it was"


def test_saved_and_loaded_into_a_fresh_pipeline_it_draws_the_same(
    task: Fruits, tokens: torch.Tensor, tmp_path: Path
) -> None:
    told = task.model.with_adapter(load()).conditioned_on(tokens)
    save_adapter(tmp_path / "again.safetensors", told.pipe.unet, load().adapter.about)
    again = UserAdapter(read_adapter(tmp_path / "again.safetensors"), load().encoder)
    fresh = Fruits(FruitsSettings(steps=3)).model.with_adapter(again).conditioned_on(tokens)
    assert torch.equal(pictures(fresh), pictures(told))


def test_the_adapter_of_another_base_is_refused(task: Fruits) -> None:
    other = Fruits(FruitsSettings(steps=3)).model
    next(other.pipe.unet.parameters()).data.add_(1e-3)
    with pytest.raises(ModelError, match=r"trained for a base with weights"):
        other.with_adapter(load())


def test_a_model_that_is_not_personal_draws_for_nobody(task: Fruits, tokens: torch.Tensor) -> None:
    with pytest.raises(ModelError, match=r"attach one first"):
        task.model.conditioned_on(tokens)
