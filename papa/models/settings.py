"""Sampling settings of models. Imports no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from papa.settings import Positive, Settings

BLOCK = 1024
"""Base samples of one batch; fixed, so that the first samples do not depend on their number."""


class SamplingSettings(Settings):
    """Of any model."""

    steps: Positive = 25
    """Denoising steps of every sampler of the task."""
    chunk: Positive = 256
    """Items per forward pass when sampling; recorded, since it changes the last bits."""


class PipelineSettings(SamplingSettings):
    """Of a text-to-image pipeline."""

    prompt: str = "a photo of fruit"
    """The prompt of base and aligned samples."""
    guidance_scale: Annotated[float, Field(ge=1, le=1000)] = 7.5
    """Classifier-free guidance w; 1 is the conditional model alone, at half the cost."""
    size: Positive | None = None
    """Side of an image in pixels; by default the pipeline's own."""
    attention_slicing: bool = False
    """Less memory, more time."""
    vae_slicing: bool = False
    """Decode one image at a time."""
    vae_tiling: bool = False
    """Decode an image in tiles."""
