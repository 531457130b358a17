"""What is asked of the hub and of its cache, and downloads that fail."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from huggingface_hub.errors import LocalEntryNotFoundError
from support import tiny_sd15
from support.refusals import online, refused

from papa.benchmark.tasks.sd15 import Sd15Settings, hub
from papa.errors import ArtefactError


def test_the_hubs_cache_is_a_folder_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def snapshot(**given: Any) -> str:
        asked.append(given)
        return str(tiny_sd15.pipeline())

    monkeypatch.setattr(hub.huggingface_hub, "snapshot_download", snapshot)
    settings = Sd15Settings()
    assert isinstance(hub.load_pipeline(settings, torch.float32), StableDiffusionPipeline)
    assert [call["local_files_only"] for call in asked] == [True] and asked[0]["revision"] == settings.revision


class Hub:
    """A repository and the cache of it, which is empty at first."""

    def __init__(self, repository: Path, cache: Path) -> None:
        self.repository, self.cache, self.asked = repository, cache, []

    def snapshot(self, allow_patterns: list[str], local_files_only: bool = False, **given: Any) -> str:
        self.asked.append("cache" if local_files_only else allow_patterns[-1])
        if local_files_only and not self.cache.exists():
            raise LocalEntryNotFoundError("not cached")
        for file in () if local_files_only else self.repository.rglob("*"):
            if any(file.relative_to(self.repository).match(pattern) for pattern in allow_patterns):
                place = self.cache / file.relative_to(self.repository)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, place)
        return str(self.cache)


FULL, HALF = (f"text_encoder/model{variant}.safetensors" for variant in ("", ".fp16"))


@pytest.mark.parametrize(("half", "fetched"), [(True, [HALF]), (False, [HALF, FULL])])
def test_a_repository_without_the_variant_gives_its_other_files(
    half: bool, fetched: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = Hub(tiny_sd15.pipeline(half), tmp_path / "cache")
    online(monkeypatch, snapshot_download=fake.snapshot)
    assert hub.pipeline_folder(Sd15Settings()) == fake.cache and fake.asked == ["cache", *fetched]
    assert isinstance(hub.load_pipeline(Sd15Settings(), torch.float32), StableDiffusionPipeline)
    assert fake.asked == ["cache", *fetched, "cache"]  # nothing is asked again


def test_a_cache_that_lacks_the_weights_is_filled_only_where_the_hub_may_be_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = Hub(tiny_sd15.pipeline(), tmp_path / "cache")
    online(monkeypatch, snapshot_download=fake.snapshot)
    fake.snapshot(list(hub.PLAIN))
    refused(ArtefactError, lambda: hub.pipeline_folder(Sd15Settings(), download=False), "lacks", "without `.fp16`")
    assert fake.asked[1:] == ["cache"]
    assert hub.pipeline_folder(Sd15Settings()) == fake.cache and fake.asked[2:] == ["cache", HALF, FULL]


def unreachable() -> Exception:
    error = LocalEntryNotFoundError("Please check your connection")
    error.__cause__ = ConnectionError("Connection refused")
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "No space left"),
        (PermissionError(13, "Permission denied", "/cache"), "Permission denied: '/cache'"),
        (RuntimeError("Data processing error: no space\nand more"), "(Data processing error: no space)"),
        (unreachable(), "Connection refused"),
    ],
)
def test_a_download_that_fails_says_why(error: Exception, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **given: Any) -> Any:
        raise LocalEntryNotFoundError("not cached") if given.get("local_files_only") else error

    online(monkeypatch, snapshot_download=fail, hf_hub_download=fail, try_to_load_from_cache=lambda *a, **given: None)
    settings = Sd15Settings()
    refused(ArtefactError, lambda: hub.pipeline_folder(settings), "download failed", said, "hf download")
    refused(ArtefactError, lambda: hub.clip_files(settings.proxy), "download failed", said, "hf download")
    with pytest.raises(ArtefactError) as raised:
        hub.pipeline_folder(settings, download=False)
    assert "download failed" not in str(raised.value)
