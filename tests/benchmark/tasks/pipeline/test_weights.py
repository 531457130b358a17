"""Weights of the pipeline and of OpenCLIP: missing, cut short, pinned, and in variants."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from support import tiny_sd15
from support.refusals import copied, refused

from papa.benchmark.tasks.pipeline import ClipSettings, PipelineTaskSettings, Sd15Settings, weights
from papa.benchmark.tasks.pipeline.task import PipelineTask
from papa.errors import ArtefactError, SettingsError
from papa.files import sha256

UNET = "unet/diffusion_pytorch_model.safetensors"


def test_weights_that_are_not_here_are_named_with_the_command_that_gets_them() -> None:
    settings = Sd15Settings()
    for act in (lambda: weights.folder_on_disk(settings), lambda: weights.load(settings, torch.float32)):
        refused(ArtefactError, act, "stable-diffusion-v1-5", "2.1 GB", "hf download", "--revision 451f4fe1")
    for clip, repository in ((settings.proxy, "timm/"), (settings.held_out, "laion/")):
        for load in (weights.load_clip, weights.clip_on_disk):
            refused(ArtefactError, lambda load=load, clip=clip: load(clip), str(clip.model), f"download {repository}")
    refused(ArtefactError, lambda: PipelineTask(Sd15Settings(model="/no/such/folder")), "/no/such/folder")
    refused(SettingsError, lambda: weights.load(PipelineTaskSettings(), torch.float32), "name a model")


def test_the_hub_is_asked_for_the_pinned_revision_and_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def download(name: str, **given: Any) -> str:
        asked.append((name, given["revision"], given["variant"]))
        return str(tiny_sd15.pipeline(half=True))

    monkeypatch.setattr(weights.DiffusionPipeline, "download", download)
    settings = Sd15Settings()
    assert weights.load(settings, torch.float32).unet.dtype == torch.float32
    assert asked == [(settings.model, settings.revision, "fp16")]


@pytest.mark.parametrize("name", [UNET, "scheduler/scheduler_config.json"])
@pytest.mark.parametrize("damage", ["missing", "cut short"])
def test_a_damaged_folder_is_refused(name: str, damage: str, tmp_path: Path) -> None:
    file = copied(tmp_path) / name
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    refused(ArtefactError, lambda: PipelineTask(tiny_sd15.settings(model=str(tmp_path / "model"))), "cannot be loaded")


def test_a_weight_file_of_another_sha256_is_refused(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    right = {UNET: sha256(folder / UNET)}
    assert weights.folder_on_disk(tiny_sd15.settings(model=str(folder), sha256=right)) == folder
    wrong = tiny_sd15.settings(model=str(folder), sha256={UNET: "0" * 64})
    refused(ArtefactError, lambda: PipelineTask(wrong), "0" * 64, right[UNET])


def test_the_preferred_variant_is_taken_where_it_is(tmp_path: Path) -> None:
    folder = copied(tmp_path, half=True)
    half = weights.load(tiny_sd15.settings(model=str(folder)), torch.float32).unet.conv_in.weight
    shutil.copytree(tiny_sd15.pipeline(), folder, dirs_exist_ok=True)  # both variants
    full = tiny_sd15.settings(model=str(folder), variant=None)
    plain = weights.load(full, torch.float32).unet.conv_in.weight
    assert torch.equal(weights.load(tiny_sd15.settings(model=str(folder)), torch.float32).unet.conv_in.weight, half)
    assert torch.equal(plain.half().float(), half) and not torch.equal(plain, half)


# ---------------------------------------------------------------- OpenCLIP


def test_clip_names_that_are_wrong(tmp_path: Path) -> None:
    for model, pretrained in (("ViT-L-15", "openai"), ("ViT-L-14", "opnai"), ("ViT-L-14", None)):
        given = ClipSettings(model=model, pretrained=pretrained)
        refused(ArtefactError, lambda given=given: weights.load_clip(given), model)
        refused(ArtefactError, lambda given=given: weights.clip_on_disk(given), model)
    refused(ArtefactError, lambda: weights.load_clip(ClipSettings(model=f"local-dir:{tmp_path}")), str(tmp_path))


def test_clip_weights_of_another_architecture(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_sd15.clip(), tmp_path / "clip"))
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["embed_dim"] = 24
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    refused(ArtefactError, lambda: weights.load_clip(ClipSettings(model=f"local-dir:{folder}")), "local-dir")


@pytest.mark.parametrize("place", ["folder", "file", "hub"])
def test_clip_weights_of_another_sha256(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tiny_sd15.clip() / "open_clip_model.safetensors"
    monkeypatch.setattr(weights.huggingface_hub, "try_to_load_from_cache", lambda *args, **given: str(file))
    monkeypatch.setattr(open_clip, "download_pretrained", lambda tag: str(file))
    given: dict[str, Any] = {
        "folder": {"model": f"local-dir:{tiny_sd15.clip()}"},
        "file": {"model": "ViT-B-32", "pretrained": str(file)},
        "hub": {"model": "ViT-B-32", "pretrained": "laion2b_s34b_b79k"},
    }[place]
    right, wrong = sha256(file), ClipSettings(**given, sha256="0" * 64)
    assert weights.clip_on_disk(ClipSettings(**given, sha256=right)) == file
    for load in (weights.load_clip, weights.clip_on_disk):
        refused(ArtefactError, lambda load=load: load(wrong), str(file), right, "0" * 64)
