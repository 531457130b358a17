"""Settings of tasks whose pictures are judged by OpenCLIP models and a bank of prompts. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from papa.models.settings import PipelineSettings
from papa.settings import Rate, Settings

Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ClipSettings(Settings):
    """An OpenCLIP model."""

    model: str
    """open_clip's name of the architecture, or `local-dir:FOLDER` with open_clip_config.json and weights.
    OpenAI's weights from a file need the name that ends in -quickgelu."""
    pretrained: str | None = None
    """open_clip's tag of the weights, or a weight file. A folder brings its own."""
    revision: Commit | None = None
    """Commit of the hub's repository that the tag names; None takes what is cached, else the newest (a file or a
    folder has none and ignores it)."""
    sha256: Sha256 | None = None
    """The sha256 that the weight file must have; checked before loading, part of every run's key."""


class JudgedByClip(PipelineSettings):
    """A text-to-image model that is labelled by one OpenCLIP model, and judged by another one that nobody asks."""

    dtype: Literal["auto", "fp16", "fp32"] = "auto"
    """Type that the pipeline runs in: fp16 on CUDA and fp32 on a CPU, or as said. Trained weights, losses and
    log-weights are always fp32."""
    proxy: ClipSettings
    """The OpenCLIP model that labels."""
    held_out: ClipSettings
    """An OpenCLIP model of another training, which no method ever queries."""
    bank: dict[str, list[str]]
    """Concept -> its prompts: what users like, and distractors. The proxy's softmax runs over all of them."""
    temperature: Rate | None = 10.0
    """The FKC document's factor on the proxy's similarities; CLIP's own logit scale (null) is about 100."""
