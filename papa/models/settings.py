"""Settings of models: how they are sampled. Imports no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from papa.settings import Positive, Settings

BLOCK = 1024
"""Base samples drawn at a time; fixed, so that more samples leave the first ones as they are."""


class SamplingSettings(Settings):
    """How any model is sampled."""

    steps: Positive = 25
    """Denoising steps of every sampler of the task."""
    chunk: Positive = 256
    """Items per forward pass when sampling; a recorded setting, for it changes the last bits."""


class PipelineSettings(SamplingSettings):
    """How a text-to-image pipeline is sampled."""

    prompt: str = "a photo of fruit"
    """The prompt of base and aligned samples."""
    guidance_scale: Annotated[float, Field(ge=1, le=1000)] = 7.5
    """Classifier-free guidance w; 1 is the conditional model alone, at half the cost."""
    size: Positive | None = None
    """Pixels of one side of a picture; by default the pipeline's own size."""
    attention_slicing: bool = False
    """Less memory, more time."""
    vae_slicing: bool = False
    """Decode one image at a time."""
    vae_tiling: bool = False
    """Decode an image in tiles."""
