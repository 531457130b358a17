"""Weights of a pipeline that are missing, cut short or of another model."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import tiny_sd15
from support.refusals import copied, refused

from papa.benchmark.tasks.sd15 import Sd15Settings, hub
from papa.benchmark.tasks.sd15.task import Sd15
from papa.errors import ArtefactError
from papa.files import sha256


def test_weights_that_are_nowhere() -> None:
    words = ("stable-diffusion-v1-5", "2.1 GB", "hf download", "tasks.sd15.model")
    refused(ArtefactError, lambda: hub.pipeline_folder(Sd15Settings()), *words)
    refused(ArtefactError, lambda: hub.pipeline_folder(Sd15Settings(model="/no/such/folder")), "/no/such/folder")


@pytest.mark.parametrize(
    "name", ["unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json", "tokenizer/vocab.json"]
)
def test_a_folder_that_lacks_a_file(name: str, tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / name).unlink()
    refused(ArtefactError, lambda: Sd15(tiny_sd15.settings(model=str(folder))), "lacks", name.split("/")[0])


def test_a_weight_file_that_is_cut_short(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    refused(ArtefactError, lambda: Sd15(tiny_sd15.settings(model=str(folder))), "cannot be loaded", "hf download")


def test_a_weight_file_of_another_sha256(tmp_path: Path) -> None:
    folder, name = copied(tmp_path), "unet/diffusion_pytorch_model.safetensors"
    right = {name: sha256(folder / name)}
    assert hub.pipeline_folder(tiny_sd15.settings(model=str(folder), sha256=right)) == folder
    wrong = tiny_sd15.settings(model=str(folder), sha256={name: "0" * 64})
    refused(ArtefactError, lambda: Sd15(wrong), "says 0000000000000000", "damaged or of another model")


def test_the_wanted_variant_is_taken_where_it_is_whole(tmp_path: Path) -> None:
    half, full = tiny_sd15.pipeline(half=True), tiny_sd15.pipeline()
    assert hub.variant_in(half, "fp16") == "fp16" and hub.variant_in(full, "fp16") is None
    folder = copied(tmp_path, half=True)
    (folder / "vae" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    refused(ArtefactError, lambda: hub.pipeline_folder(tiny_sd15.settings(model=str(folder))), "vae/diffusion")
