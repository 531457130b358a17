"""Opening pipelines: variants, types, subclasses, devices, and inputs that are refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from support import tiny_families, tiny_sd15
from support.refusals import refused

from papa import Model
from papa.diffusion.denoiser import Cost
from papa.errors import ArtefactError, ModelError, SettingsError

PROMPT = "a pear"


def loaded(name: str) -> Any:
    """A family's pipeline by diffusers."""
    missing = {"safety_checker": None, "feature_extractor": None} if name == "Stable Diffusion" else {}
    return diffusers.DiffusionPipeline.from_pretrained(tiny_families.folder(name), **missing)


class MyPipe(StableDiffusionPipeline):
    """A user's own class."""


class MyXL(StableDiffusionXLPipeline):
    """Another one."""


@pytest.mark.parametrize(("cls", "name"), [(MyPipe, "Stable Diffusion"), (MyXL, "Stable Diffusion XL")])
def test_a_subclass_is_its_parent_and_is_saved_as_it(cls: Any, name: str, tmp_path: Path) -> None:
    pipe = loaded(name)
    given = {"requires_safety_checker": False} if cls is MyPipe else {"force_zeros_for_empty_prompt": False}
    parts: dict[str, Any] = pipe.components | given
    model = Model.from_pipeline(cls(**parts), PROMPT, size=16)
    model.save(tmp_path / "saved", model.network())
    index = json.loads((tmp_path / "saved" / "model_index.json").read_text())
    assert index["_class_name"] == cls.__mro__[1].__name__
    assert all(index[option] == value for option, value in given.items())


@pytest.mark.parametrize("name", ["Stable Diffusion 3", "DDPM"])
def test_a_folder_with_fp16_files_alone_is_found_out(name: str, tmp_path: Path) -> None:
    pipe = loaded(name)
    pipe.save_pretrained(tmp_path / "half", variant="fp16")
    prompt = None if name == "DDPM" else PROMPT
    y = torch.randn(1, *((1, 8, 8) if name == "DDPM" else (4, 8, 8)))
    given: dict[str, Any] = {} if name == "DDPM" else {"size": 16}
    expected = Model.from_pipeline(pipe, prompt, **given).denoiser(Cost())(y, 1.0)
    for variant in (None, "fp16"):
        found = Model.from_pretrained(tmp_path / "half", prompt, variant=variant, **given)
        torch.testing.assert_close(found.denoiser(Cost())(y, 1.0), expected)


def test_types_are_named_by_text() -> None:
    folder = tiny_families.folder("Stable Diffusion")
    for name, dtype in (("fp16", torch.float16), ("bfloat16", torch.bfloat16), (torch.float32, torch.float32)):
        model: Any = Model.from_pretrained(folder, PROMPT, size=16, dtype=name)
        assert model.backbone.dtype == dtype
    for wrong in ("half precision", "int8", 16):
        refused(SettingsError, lambda wrong=wrong: Model.from_pretrained(folder, PROMPT, dtype=wrong), "fp16")


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    refused(SettingsError, lambda: Model.from_pretrained(tiny_families.folder("DDPM"), device=device), device, "cpu")


def test_offloaded_weights_are_refused() -> None:
    pytest.importorskip("accelerate")
    from accelerate import cpu_offload

    pipe = loaded("Stable Diffusion")
    cpu_offload(pipe.unet, torch.device("cpu"))  # what enable_sequential_cpu_offload does to each part
    refused(ModelError, lambda: Model.from_pipeline(pipe, PROMPT, size=16), "offload")


@pytest.mark.parametrize(("name", "ours"), [("num_inference_steps", "steps"), ("guidance", "guid")])
def test_diffusers_names_are_answered_with_ours(name: str, ours: str) -> None:
    folder = tiny_families.folder("Stable Diffusion")
    refused(SettingsError, lambda: Model.from_pretrained(folder, PROMPT, **{name: 16}), ours)


def test_folders_that_are_not_pipelines_are_refused(tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere", tmp_path):
        refused(ArtefactError, lambda place=place: Model.from_pretrained(place, PROMPT), str(place))
    index = tmp_path / "model_index.json"
    index.write_text('{"_class_name": "KandinskyPipeline"}')
    refused(ModelError, lambda: Model.from_pretrained(tmp_path, PROMPT), "KandinskyPipeline", "FluxPipeline")
    index.write_text('{"_class_name": "FluxPipeline", "vae": ["diffusers", "AutoencoderKL"]}')
    refused(ArtefactError, lambda: Model.from_pretrained(tmp_path, PROMPT), "cannot be loaded")


VALUES: list[tuple[str, dict[str, Any]]] = [
    ("unet", {"block_out_channels": 5}),
    ("scheduler", {"beta_schedule": "nope"}),
    ("text_encoder", {"hidden_size": 13}),
]
"""A part, and a value that it cannot have; diffusers, transformers and torch have different errors for it."""


@pytest.mark.parametrize(("part", "values"), VALUES, ids=str)
def test_a_wrong_value_in_a_part_is_an_error_that_names_the_folder(
    part: str, values: dict[str, Any], tmp_path: Path
) -> None:
    place = Path(shutil.copytree(tiny_sd15.pipeline(), tmp_path / "pipeline"))
    file = place / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    refused(ArtefactError, lambda: Model.from_pretrained(place, prompt="a fruit"), str(place))


SCALES = ({"scaling_factor": None}, {"scaling_factor": 0}, {"shift_factor": "0.1"})


@pytest.mark.parametrize("values", SCALES, ids=str)
def test_an_autoencoder_without_a_scale_is_refused(values: dict[str, Any], tmp_path: Path) -> None:
    place = Path(shutil.copytree(tiny_sd15.pipeline(), tmp_path / "pipeline"))
    file = place / "vae" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    name, value = next(iter(values.items()))
    refused(ModelError, lambda: Model.from_pretrained(place, prompt="a fruit"), f"vae: {name} is {value!r}")


def test_a_prompt_where_there_is_none_and_none_where_one_is_needed() -> None:
    refused(ModelError, lambda: Model.from_pretrained(tiny_families.folder("DDPM"), PROMPT), "prompt")
    refused(ModelError, lambda: Model.from_pretrained(tiny_families.folder("Flux")), "prompt")


@pytest.mark.parametrize("name", tiny_families.PROMPTED)
def test_long_prompts_and_odd_sizes_are_refused(name: str) -> None:
    folder = tiny_families.folder(name)
    refused(SettingsError, lambda: Model.from_pretrained(folder, "a" * 600, size=16), "shorten")
    refused(SettingsError, lambda: Model.from_pretrained(folder, PROMPT, size=18), "multiple of 4")


def test_a_flow_with_another_scheduler_is_refused() -> None:
    pipe = loaded("Flux")
    pipe.scheduler = diffusers.DDIMScheduler()
    refused(ModelError, lambda: Model.from_pipeline(pipe, PROMPT, size=16), "FlowMatchEulerDiscreteScheduler")


def test_a_transformer_has_no_user_attention() -> None:
    model: Any = Model.from_pretrained(tiny_families.folder("Flux"), PROMPT, size=16)
    refused(ModelError, lambda: model.with_user_attention(lambda unet: None), "has no UNet")


def test_other_models_load_no_family() -> None:
    """The source of a family is then in no key of theirs."""
    code = """
import sys
from support.nets import small_unet, scheduler
from papa import MixtureModel, Session, UNetModel
from papa.models.settings import SamplingSettings
model = UNetModel(small_unet(), scheduler(), SamplingSettings(steps=2, chunk=4))
session = Session(model, "papa", labels=2, per_round=2)
session.ask()
loaded = [name for name in sys.modules if name.startswith("papa.models.")]
wrong = [n for n in loaded if n.split(".")[2] in ("families", "opening", "pipeline", "prompted", "personal")]
assert "papa.models.unet" in loaded and not wrong, wrong
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2] / "tests")
