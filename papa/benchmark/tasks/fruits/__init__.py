"""Task `fruits`: a small Stable Diffusion of rendered fruit, with its own OpenCLIP judges."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from papa.benchmark.tasks.declaration import TaskDeclaration
from papa.models.settings import PipelineSettings
from papa.settings import Positive, Rate


class FruitsSettings(PipelineSettings):
    """The small Stable Diffusion of rendered fruit."""

    steps: Positive = 10
    """Denoising steps of every sampler of the task."""
    chunk: Positive = 64
    """Items per forward pass; the fastest size on a CPU core."""
    guidance_scale: Annotated[float, Field(ge=1, le=1000)] = 2.0
    """Enough for the right kind; higher values cost variety."""
    temperature: Rate | None = None
    """Factor on the proxy's similarities before the softmax; None is the model's own logit scale."""


FRUITS = TaskDeclaration(
    FruitsSettings,
    "papa.benchmark.tasks.fruits.task:Fruits",
    users={
        "apple": {"kind": "concepts", "wanted": {"kind": "apple"}},
        "grape": {"kind": "concepts", "wanted": {"kind": "grape"}},
        "banana": {"kind": "concepts", "wanted": {"kind": "banana"}},
        "green": {"kind": "concepts", "wanted": {"colour": "green"}},
        "two": {"kind": "concepts", "wanted": {"count": 2}},
        "apple-graded": {"kind": "concepts", "wanted": {"kind": "apple"}, "graded": True},
        "apple-or-banana": {"kind": "union", "members": [{"kind": "apple"}, {"kind": "banana"}]},
        # Rarer and rarer: about 0.3, 0.1, 0.03, 0.01 and 0.003 of the base's samples (the model card has the rates).
        "yellow": {"kind": "conjunction", "wanted": {"colour": "yellow"}},
        "two-yellow": {"kind": "conjunction", "wanted": {"colour": "yellow", "count": 2}},
        "yellow-pear": {"kind": "conjunction", "wanted": {"kind": "pear", "colour": "yellow", "count": 1}},
        "yellow-pear-on-gray": {
            "kind": "conjunction",
            "wanted": {"kind": "pear", "colour": "yellow", "count": 1, "background": "gray"},
        },
        "two-yellow-pears-on-brown": {
            "kind": "conjunction",
            "wanted": {"kind": "pear", "colour": "yellow", "count": 2, "background": "brown"},
        },
        "hasty-lemon": {"kind": "hasty", "wanted": {"kind": "lemon"}},
        "apple-then-banana": {"user": "apple", "then": "banana"},
        "moody-apple": {"user": "apple", "moods": 0.5},
    },
    offers=frozenset({"concepts", "attributes", "hasty"}),
    prompted=True,
    extra={"adapter": "fruits_ppd", "hasty": "fruits_hasty"},
    artefacts="fruits",
    recipe="recipes.fruits.recipe",
    space="features",
    uses=(
        "papa.benchmark.tasks.images",
        "papa.benchmark.tasks.text_to_image",
        "papa.benchmark.tasks.prompts",
        "papa.models.pipeline",
        "papa.models.prompted",
        "papa.models.families",
        "papa.models.personal",
    ),
)
