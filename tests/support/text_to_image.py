"""The tasks that these tests share, and no network."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from papa.benchmark.tasks.pipeline.task import PipelineTask
from papa.benchmark.tasks.text_to_image import TextToImage
from support import tiny_sd15


@pytest.fixture(autouse=True)
def nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, and an empty cache."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(constants, name, str(tmp_path / "no-cache"), raising=False)


@pytest.fixture(scope="module", params=tiny_sd15.TASKS)
def task(request: pytest.FixtureRequest) -> TextToImage:
    """The tiny task, and `fruits` where its artefacts are. Tests change nothing in it."""
    return tiny_sd15.either(request.param)


@pytest.fixture(scope="module")
def small() -> PipelineTask:
    """The tiny task alone, in Stable Diffusion 1.5's layout. Tests change nothing in it."""
    return tiny_sd15.task()
