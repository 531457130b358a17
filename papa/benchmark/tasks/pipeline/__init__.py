"""Tasks `pipeline`, any diffusers pipeline judged by OpenCLIP, and `sd15`, the same as the FKC document has it.

Imports no torch; see docs/your-task.md and docs/text-to-image.md.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from papa.benchmark.tasks.declaration import TaskDeclaration
from papa.models.settings import PipelineSettings
from papa.settings import Positive, Rate, Settings

Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ClipSettings(Settings):
    """An OpenCLIP model."""

    model: str
    """open_clip's name of the architecture, or `local-dir:FOLDER` with open_clip_config.json and weights.
    OpenAI's weights from a file need the name that ends in -quickgelu."""
    pretrained: str | None = None
    """open_clip's tag of the weights, or a weight file; None for a folder."""
    sha256: Sha256 | None = None
    """Expected sha256 of the weight file; checked before loading, part of every run's key."""


class PipelineTaskSettings(PipelineSettings):
    """A pipeline, its judges and their prompts."""

    model: str = ""
    """A folder that diffusers saved, or a repository on the Hugging Face hub; docs/models.md has the families."""
    revision: Commit | None = None
    """Commit of the repository; ignored for a folder."""
    variant: str | None = None
    """Preferred weight files, `*.fp16.safetensors`; a folder without them is loaded from its other files."""
    sha256: dict[str, Sha256] = {}
    """File of the model's folder -> its expected sha256; checked before loading, part of every run's key."""
    dtype: Literal["auto", "fp16", "fp32"] = "auto"
    """Type of the pipeline; auto is fp16 on CUDA and fp32 on a CPU. Trained weights, losses and log-weights are
    always fp32."""
    proxy: ClipSettings = ClipSettings(model="ViT-L-14", pretrained="openai")
    """The OpenCLIP model that labels."""
    held_out: ClipSettings = ClipSettings(model="ViT-B-32", pretrained="laion2b_s34b_b79k")
    """An OpenCLIP model with other training data, which no method queries."""
    bank: dict[str, list[str]] = {}
    """Concept -> its prompts: the concepts of users, and distractors. The proxy's softmax runs over all of them.
    Users are {kind: concepts, wanted: {kind: CONCEPT}}."""
    retained: list[str] | None = None
    """Concepts whose first prompt may measure retention, in order of preference; None takes all of the bank."""
    temperature: Rate | None = 10.0
    """The FKC document's factor on the proxy's similarities; CLIP's own logit scale (null) is about 100."""
    prompt: str = ""
    """The prompt of base and aligned samples."""
    spread: Annotated[float, Field(gt=0)] = 1.0
    """Standard deviation of latents per coordinate."""
    chunk: Positive = 8
    """Images per forward pass."""


USES = (
    "papa.benchmark.tasks.pipeline",
    "papa.benchmark.tasks.prompts",
    "papa.benchmark.tasks.text_to_image",
    "papa.models.families",
    "papa.models.personal",
    "papa.models.pipeline",
    "papa.models.prompted",
)
PIPELINE = TaskDeclaration(
    PipelineTaskSettings,
    "papa.benchmark.tasks.pipeline.task:PipelineTask",
    offers=frozenset({"concepts"}),
    prompted=True,
    needs="papa.benchmark.tasks.pipeline.needs",
    memory_mb=16_000,
    space="features",
    uses=USES,
)

FRUIT_BANK = {
    "apple": ["a photo of an apple", "a photo of a red apple", "a photo of a green apple"],
    "grape": ["a photo of grapes", "a photo of a bunch of grapes"],
    "banana": ["a photo of a banana", "a photo of a bunch of bananas"],
    "orange": ["a photo of an orange"],
    "lemon": ["a photo of a lemon"],
    "pear": ["a photo of a pear"],
    "strawberry": ["a photo of a strawberry"],
    "watermelon": ["a photo of a watermelon"],
    "pineapple": ["a photo of a pineapple"],
    "peach": ["a photo of a peach"],
    "kiwi": ["a photo of a kiwi fruit"],
    "cherry": ["a photo of cherries"],
}
"""The concepts of three users, and distractors."""


class Sd15Settings(PipelineTaskSettings):
    """Stable Diffusion 1.5, labelled by OpenCLIP ViT-L-14 (the FKC document)."""

    model: str = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    """A repository on the Hugging Face hub, or a folder in its layout."""
    revision: Commit | None = "451f4fe16113bff5a5d2269ed5ad43b0592e9a14"
    """Commit of the repository; ignored for a folder."""
    variant: str | None = "fp16"
    """Preferred weight files, `*.fp16.safetensors`; a folder without them is loaded from its other files."""
    bank: dict[str, list[str]] = FRUIT_BANK
    """Concept -> its prompts: the concepts of users, and distractors. The proxy's softmax runs over all of them."""
    retained: list[str] | None = ["banana", "apple", "pear"]
    """Concepts whose first prompt may measure retention, in order of preference."""
    prompt: str = "a photo of a fruit"
    """The prompt of base and aligned samples."""
    attention_slicing: bool = True
    """Less memory, more time."""
    vae_slicing: bool = True
    """Decode one image at a time."""
    vae_tiling: bool = True
    """Decode an image in tiles (those above 512 pixels have more than one)."""


SD15 = TaskDeclaration(
    Sd15Settings,
    "papa.benchmark.tasks.pipeline.task:PipelineTask",
    users={
        "apple": {"kind": "concepts", "wanted": {"kind": "apple"}},
        "grape": {"kind": "concepts", "wanted": {"kind": "grape"}},
        "banana": {"kind": "concepts", "wanted": {"kind": "banana"}},
        "apple-graded": {"kind": "concepts", "wanted": {"kind": "apple"}, "graded": True},
        "apple-or-banana": {"kind": "union", "members": [{"kind": "apple"}, {"kind": "banana"}]},
    },
    offers=frozenset({"concepts"}),
    prompted=True,
    needs="papa.benchmark.tasks.pipeline.needs",
    memory_mb=16_000,
    space="features",
    uses=USES,
)
