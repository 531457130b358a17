"""Aligned models as folders: diffusers loads them and draws the same, and no path of this machine is in them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMPipeline, EulerAncestralDiscreteScheduler
from support import tiny, tiny_sd15
from support.nets import scheduler, small_unet
from torch import Tensor, nn

from papa.diffusion.sampler import Noise, stream_noise
from papa.diffusion.schedule import sigmas_of
from papa.methods import declaration
from papa.models.pipeline import PipelineModel
from papa.models.settings import PipelineSettings, SamplingSettings
from papa.models.unet import UNetModel
from papa.session import Session

N, STEPS = 3, 4
LORA = {"trainable": "lora", "lora_rank": 2}


def loaded(place: Path, **given: Any) -> UNetModel:
    """A model from a folder that lies on this machine, so that diffusers notes its path."""
    DDPMPipeline(small_unet(**given), scheduler()).save_pretrained(place / "of me")
    return UNetModel.from_folder(place / "of me", settings=SamplingSettings(steps=STEPS), clip=None)


def aligned(model: Any, **given: Any) -> Session:
    """A session that has moved the network."""
    settings = tiny.small(declaration("papa").settings, **given).model_dump(exclude_unset=True)
    session = Session(model, "papa", settings=settings | {"lr": 1e-2}, seed=1)
    list(session.play(lambda question: [index == 0 for index in range(len(question))]))
    return session


def drawn_by_diffusers(pipe: Any, noise: Noise, patch: pytest.MonkeyPatch) -> Tensor:
    """What a loop as in diffusers' own examples draws, with its own Euler-ancestral scheduler, from the same noise."""
    steps = iter(range(1, STEPS + 1))
    where = "diffusers.schedulers.scheduling_euler_ancestral_discrete.randn_tensor"
    patch.setattr(where, lambda *args, **kwargs: noise(next(steps)))
    sampler: Any = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config)
    sampler.set_timesteps(STEPS)
    sample = sampler.init_noise_sigma * noise(0)
    with torch.no_grad():
        for t in sampler.timesteps:
            eps = pipe.unet(sampler.scale_model_input(sample, t), t).sample
            sample = sampler.step(eps, t, sample).prev_sample
    return sample


def test_diffusers_draws_from_a_saved_unet_what_the_session_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = aligned(loaded(tmp_path), **LORA)
    ours = session.sample(N)
    pipe = DDPMPipeline.from_pretrained(session.save(tmp_path / "aligned"))
    noise = stream_noise(session.method.stream.at("sample"), (N, 1, 8, 8))
    found = drawn_by_diffusers(pipe, noise, monkeypatch)
    torch.testing.assert_close(found, ours, atol=2e-4, rtol=1e-4)
    base = drawn_by_diffusers(DDPMPipeline.from_pretrained(tmp_path / "of me"), noise, monkeypatch)
    assert (found - base).abs().max() > 1e-2, "the alignment must show, or this test sees nothing"


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
def test_sampling_begins_at_the_largest_noise_level_and_the_saved_folder_says_so(spacing: str, tmp_path: Path) -> None:
    """diffusers' own default, `leading`, begins below it: from there the first samples have too little noise."""
    DDPMPipeline(small_unet(), scheduler(timestep_spacing=spacing)).save_pretrained(tmp_path / "of me")
    model = UNetModel.from_folder(tmp_path / "of me", settings=SamplingSettings(steps=STEPS))
    assert model.alphas_cumprod is not None
    largest = sigmas_of(model.alphas_cumprod.double())[-1].item()
    assert model.sigmas()[0].item() == pytest.approx(largest, rel=1e-6)
    model.save(tmp_path / "saved", model.network())
    again = UNetModel.from_folder(tmp_path / "saved", settings=SamplingSettings(steps=STEPS))
    assert torch.equal(again.sigmas(), model.sigmas())
    said = json.loads((tmp_path / "saved" / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    assert said["timestep_spacing"] == ("linspace" if spacing == "leading" else spacing)


def test_saving_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    session = aligned(loaded(tmp_path), **LORA)
    network: nn.Module = session.method.aligned()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    session.save(tmp_path / "aligned")
    after = network.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def texts(place: Path) -> dict[str, str]:
    """Everything that a folder says, weights included."""
    return {str(file.relative_to(place)): file.read_bytes().decode("latin-1") for file in place.rglob("*.*")}


def told(place: Path, *paths: Path) -> list[str]:
    """Files that name a path, or have a place for one."""
    words = [str(path) for path in paths] + ['"_name_or_path"', '"name_or_path"']
    return [f"{name}: {word}" for name, text in texts(place).items() for word in words if word in text]


def test_a_saved_unet_names_no_path(tmp_path: Path) -> None:
    model = loaded(tmp_path)
    assert str(tmp_path) in str(model.network().config)  # diffusers has noted where it lay
    place = aligned(model).save(tmp_path / "aligned")
    assert told(place, tmp_path, Path.home(), Path.cwd()) == []
    drawn = json.loads((place / "papa.json").read_text(encoding="utf-8"))
    assert drawn["steps"] == STEPS and drawn["clip"] is None  # as this model was made


def test_a_saved_pipeline_names_no_path(tmp_path: Path) -> None:
    shutil.copytree(tiny_sd15.pipeline(), tmp_path / "of me")
    settings = PipelineSettings(prompt="a cat", steps=2, chunk=8)
    place = aligned(PipelineModel.from_folder(tmp_path / "of me", settings)).save(tmp_path / "aligned")
    assert told(place, tmp_path, Path.home(), Path.cwd()) == []
    assert json.loads((place / "papa.json").read_text(encoding="utf-8"))["prompt"] == "a cat"


def test_a_path_that_stays_is_seen(tmp_path: Path) -> None:
    model = loaded(tmp_path)
    DDPMPipeline(model.network(), scheduler()).save_pretrained(tmp_path / "by diffusers")
    assert told(tmp_path / "by diffusers", tmp_path)
