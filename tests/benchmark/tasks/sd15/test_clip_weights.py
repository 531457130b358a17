"""OpenCLIP weights: missing, of another architecture, pinned and checked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.errors import RemoteEntryNotFoundError
from pydantic import ValidationError
from support import tiny_sd15
from support.refusals import online, refused

from papa.benchmark.tasks.sd15 import ClipSettings, Sd15Settings, hub
from papa.errors import ArtefactError, SettingsError
from papa.files import sha256


def test_clip_weights_that_are_nowhere() -> None:
    settings = Sd15Settings()
    refused(ArtefactError, lambda: hub.clip_files(settings.proxy), "ViT-L-14/openai", "0.9 GB", "hf download timm/")
    refused(ArtefactError, lambda: hub.clip_files(settings.held_out), "0.6 GB", "hf download laion/")


def test_clip_names_that_are_wrong(tmp_path: Path) -> None:
    for model, pretrained, error, word in (
        ("ViT-L-15", "openai", SettingsError, "ViT-L-15"),
        ("ViT-L-14", "opnai", ArtefactError, "openai"),
        (f"local-dir:{tmp_path}", None, ArtefactError, "open_clip_config.json"),
    ):
        given = ClipSettings(model=model, pretrained=pretrained)
        refused(error, lambda given=given: hub.clip_files(given), word)


def test_clip_weights_of_another_architecture(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_sd15.clip(), tmp_path / "clip"))
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["embed_dim"] = 24
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    refused(ArtefactError, lambda: hub.load_clip(ClipSettings(model=f"local-dir:{folder}")), "cannot be loaded")


def test_openais_weights_get_their_activation_from_the_tag(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(hub, "_hub_clip", lambda *given: tmp_path / "weights.safetensors")
    monkeypatch.setattr(hub.open_clip, "create_model", lambda name, file, **given: made.append(given | {"file": file}))
    hub.load_clip(Sd15Settings().proxy)
    hub.load_clip(Sd15Settings().held_out)
    assert [given["force_quick_gelu"] for given in made] == [True, False]
    assert made[0]["file"] == str(tmp_path / "weights.safetensors") and made[0]["force_preprocess_cfg"]["mean"]


@pytest.mark.parametrize("place", ["folder", "file", "hub"])
def test_clip_weights_of_another_sha256(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tiny_sd15.clip() / "open_clip_model.safetensors"
    monkeypatch.setattr(hub.huggingface_hub, "try_to_load_from_cache", lambda *args, **given: str(file))
    asked: dict[str, Any] = {
        "folder": {"model": f"local-dir:{tiny_sd15.clip()}"},
        "file": {"model": "ViT-B-32", "pretrained": str(file)},
        "hub": {"model": "ViT-B-32", "pretrained": "laion2b_s34b_b79k"},
    }[place]
    right = sha256(file)
    assert hub.clip_files(ClipSettings(**asked, sha256=right)).file == file
    wrong = ClipSettings(**asked, sha256="0" * 64)
    refused(ArtefactError, lambda: hub.load_clip(wrong), str(file), right, "0" * 64, "get it again", "correct sha256")


def test_a_pin_that_is_no_commit_and_no_sha256() -> None:
    for pin in ({"revision": "main"}, {"sha256": "abc"}):
        with pytest.raises(ValidationError, match="pattern"):
            ClipSettings.model_validate({"model": "ViT-B-32"} | pin)


def test_a_pinned_revision_is_looked_up_downloaded_and_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings, asked = Sd15Settings().held_out.model_copy(update={"revision": "a" * 40}), []
    refused(ArtefactError, lambda: hub.clip_files(settings), f"79K --revision {'a' * 40} --include")

    def look(repository: str, name: str, revision: str | None) -> None:
        asked.append(("cache", name, revision))

    def download(repository: str, name: str, revision: str | None) -> str:
        asked.append(("hub", name, revision))
        if name == hub.CLIP_FILES[0]:
            raise RemoteEntryNotFoundError("404", response=SimpleNamespace(headers={}, request=None))  # type: ignore
        return str(tmp_path / name)

    online(monkeypatch, try_to_load_from_cache=look, hf_hub_download=download)
    assert hub.clip_files(settings).file == tmp_path / hub.CLIP_FILES[1]
    cached = [("cache", name, "a" * 40) for name in hub.CLIP_FILES]
    assert asked == [*cached, *(("hub", name, "a" * 40) for name in hub.CLIP_FILES[:2])]


def test_a_weight_file_that_the_tag_names_is_the_one_that_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ClipSettings(model="ViTamin-S", pretrained="datacomp1b")
    refused(ArtefactError, lambda: hub.clip_files(settings), "hf download jienengchen/ViTamin-S --include 'pytorch_mo")
    online(monkeypatch, hf_hub_download=lambda repository, name, revision: f"/{repository}/{name}")
    assert hub.clip_files(settings).file == Path("/jienengchen/ViTamin-S/pytorch_model.bin")
