"""Networks and schedulers that are not supported are refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from diffusers import (
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
    ScoreSdeVeScheduler,
    UNet2DConditionModel,
)
from support import tiny_sd15
from support.nets import scheduler, small_unet
from support.refusals import refused

from papa.errors import ArtefactError, ModelError
from papa.models.pipeline import PipelineModel
from papa.models.settings import PipelineSettings
from papa.models.unet import UNetModel

PROMPT = PipelineSettings(prompt="a cat", steps=2)


def folder_of(place: Path, unet: Any, of: Any) -> Path:
    """A DDPM's folder as diffusers writes it."""
    unet.save_pretrained(place / "unet")
    of.save_pretrained(place / "scheduler")
    return place


SCHEDULERS: dict[str, tuple[Any, str]] = {
    "clean estimates": (scheduler(prediction_type="sample"), "'sample'"),
    "flow matching": (FlowMatchEulerDiscreteScheduler(), "FlowMatchEulerDiscreteScheduler"),
    "a score in the VE view": (ScoreSdeVeScheduler(), "ScoreSdeVeScheduler"),
}
UNETS: dict[str, tuple[dict[str, Any], str]] = {
    "classes by timestep": ({"class_embed_type": "timestep"}, "class"),
    "learned variance": ({"out_channels": 2}, "predicts 2"),
    "a mask beside the sample": ({"in_channels": 3}, "takes 3"),
    "no size": ({"sample_size": None}, "size"),
}


@pytest.mark.parametrize(("of", "word"), SCHEDULERS.values(), ids=SCHEDULERS.keys())
def test_a_network_that_predicts_something_else_is_refused(of: Any, word: str) -> None:
    refused(ModelError, lambda: UNetModel(small_unet(), of), word, "epsilon")


@pytest.mark.parametrize(("given", "word"), UNETS.values(), ids=UNETS.keys())
def test_a_network_that_needs_or_says_something_else_is_refused(given: dict[str, Any], word: str) -> None:
    refused(ModelError, lambda: UNetModel(small_unet(**given), scheduler()), word)


def test_a_network_with_a_prompt_is_sent_to_its_pipeline() -> None:
    unet = tiny_sd15.reference(tiny_sd15.pipeline()).unet
    refused(ModelError, lambda: UNetModel(unet, scheduler()), "prompt", "PipelineModel")


@pytest.mark.parametrize(
    "of",
    [PNDMScheduler(), DDIMScheduler(prediction_type="v_prediction")],
    ids=lambda of: type(of).__name__,
)
def test_networks_that_predict_noise_or_its_velocity_are_taken_whatever_samples_them(of: Any, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, small_unet(), of)
    for place in (folder, str(folder)):
        model = UNetModel.from_folder(place)
        assert model.shape == (1, 8, 8) and model.alphas_cumprod is not None
        assert model.alphas_cumprod.tolist() == of.alphas_cumprod.tolist()


def test_images_that_are_not_square_have_their_shape() -> None:
    assert UNetModel(small_unet(sample_size=(8, 16)), scheduler()).shape == (1, 8, 16)


@pytest.mark.parametrize("damage", ["unknown scheduler", "no weights"])
def test_a_folder_that_is_no_ddpm_is_refused(damage: str, tmp_path: Path) -> None:
    file = folder_of(tmp_path, small_unet(), scheduler()) / "scheduler" / "scheduler_config.json"
    config = json.loads(file.read_text())
    if damage == "no weights":
        (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    else:
        file.write_text(json.dumps(config | {"_class_name": "SchedulerOfMyOwn"}))
    with pytest.raises(ArtefactError, match="cannot be loaded as a DDPM"):
        UNetModel.from_folder(tmp_path)


CONDITIONS: dict[str, tuple[dict[str, Any], str]] = {
    "classes": ({"class_embed_type": "timestep"}, "class"),
    "distilled guidance": ({"time_cond_proj_dim": 16}, "guidance"),
    "inpainting": ({"in_channels": 9}, "takes 9"),
}


def pipeline(**given: Any) -> Any:
    """The tiny pipeline; what is given replaces the configuration of its UNet."""
    pipe = tiny_sd15.reference(tiny_sd15.pipeline())
    config = {name: value for name, value in pipe.unet.config.items() if not name.startswith("_")}
    pipe.unet = UNet2DConditionModel(**(config | given))
    return pipe


@pytest.mark.parametrize(("given", "word"), CONDITIONS.values(), ids=CONDITIONS.keys())
def test_a_pipeline_whose_network_needs_something_else_is_refused(given: dict[str, Any], word: str) -> None:
    refused(ModelError, lambda: PipelineModel(pipeline(**given), PROMPT), word)


@pytest.mark.parametrize("part", ["vae", "tokenizer"])
def test_a_pipeline_that_lacks_a_part_is_refused(part: str) -> None:
    pipe = pipeline()
    setattr(pipe, part, None)
    refused(ModelError, lambda: PipelineModel(pipe, PROMPT), f"no {part}")
