"""Task `pipeline`: a pipeline of one's own, whatever its family, a prompt, and a bank of prompts for the judges.

An entry of a configuration makes it a task, so the whole benchmark runs on somebody's own model without code:
docs/your-task.md.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from papa.benchmark.tasks.clip_settings import ClipSettings, JudgedByClip, Sha256
from papa.benchmark.tasks.declaration import TaskDeclaration
from papa.settings import Positive


class OwnPipelineSettings(JudgedByClip):
    """A folder that diffusers saved, judged by OpenCLIP."""

    folder: str = ""
    """The folder, with `model_index.json`; see docs/models.md for the families."""
    sha256: dict[str, Sha256] = {}
    """File of the folder -> the sha256 that it must have; checked before loading, part of every run's key."""
    proxy: ClipSettings = ClipSettings(model="ViT-L-14", pretrained="openai")
    """The OpenCLIP model that labels."""
    held_out: ClipSettings = ClipSettings(model="ViT-B-32", pretrained="laion2b_s34b_b79k")
    """An OpenCLIP model of another training, which no method ever queries."""
    bank: dict[str, list[str]] = {}
    """Concept -> its prompts: what users like, and distractors. Users are {kind: concepts, wanted: {kind: CONCEPT}}."""
    prompt: str = ""
    """What pictures are drawn for."""
    spread: Annotated[float, Field(gt=0)] = 1.0
    """Standard deviation of latents per coordinate."""
    chunk: Positive = 8
    """Images per forward pass."""


PIPELINE = TaskDeclaration(
    OwnPipelineSettings,
    "papa.benchmark.tasks.pipeline.task:OwnPipeline",
    offers=frozenset({"concepts"}),
    prompted=True,
    needs="papa.benchmark.tasks.pipeline.needs",
    memory_mb=16_000,
    space="features",
    uses=(
        "papa.benchmark.tasks.text_to_image",
        "papa.benchmark.tasks.prompts",
        "papa.models.pipeline",
        "papa.models.prompted",
        "papa.models.families",
        "papa.models.personal",
        "papa.models.opening",
        "papa.benchmark.tasks.clip_judged",
        "papa.benchmark.tasks.clip_settings",
        "papa.benchmark.tasks.sd15",
    ),
)
