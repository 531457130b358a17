"""Task `sd15`: Stable Diffusion 1.5, labelled by OpenCLIP ViT-L-14, as the FKC document has it.

The same code as `fruits`, with other weights on disk. See docs/text-to-image.md.
"""

from __future__ import annotations

from papa.benchmark.tasks.clip_settings import ClipSettings, Commit, JudgedByClip, Sha256
from papa.benchmark.tasks.declaration import TaskDeclaration
from papa.settings import Positive

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
"""Three users' concepts and what else a photo of a fruit may show."""


class Sd15Settings(JudgedByClip):
    """Stable Diffusion 1.5, judged by OpenCLIP (the FKC document)."""

    model: str = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    """A repository on the Hugging Face hub, or a folder in its layout."""
    revision: Commit = "451f4fe16113bff5a5d2269ed5ad43b0592e9a14"
    """Commit of the repository (a folder has none and ignores it)."""
    variant: str | None = "fp16"
    """Weight files that are preferred, `*.fp16.safetensors`; where there are none, those without a variant."""
    sha256: dict[str, Sha256] = {}
    """File of the model's folder -> the sha256 that it must have; checked before loading, part of every run's key."""
    proxy: ClipSettings = ClipSettings(model="ViT-L-14", pretrained="openai")
    """The OpenCLIP model that labels."""
    held_out: ClipSettings = ClipSettings(model="ViT-B-32", pretrained="laion2b_s34b_b79k")
    """An OpenCLIP model of another training, which no method ever queries."""
    bank: dict[str, list[str]] = FRUIT_BANK
    """Concept -> its prompts: what users like, and distractors. The proxy's softmax runs over all of them."""
    prompt: str = "a photo of a fruit"
    """The prompt of base and aligned samples."""
    chunk: Positive = 8
    """Images per forward pass, the document's generation batch (guidance doubles it)."""
    attention_slicing: bool = True
    """Less memory, more time."""
    vae_slicing: bool = True
    """Decode one image at a time."""
    vae_tiling: bool = True
    """Decode an image in tiles (those above 512 pixels have more than one)."""


__all__ = ["SD15", "ClipSettings", "Sd15Settings"]

SD15 = TaskDeclaration(
    Sd15Settings,
    "papa.benchmark.tasks.sd15.task:Sd15",
    users={
        "apple": {"kind": "concepts", "wanted": {"kind": "apple"}},
        "grape": {"kind": "concepts", "wanted": {"kind": "grape"}},
        "banana": {"kind": "concepts", "wanted": {"kind": "banana"}},
        "apple-graded": {"kind": "concepts", "wanted": {"kind": "apple"}, "graded": True},
        "apple-or-banana": {"kind": "union", "members": [{"kind": "apple"}, {"kind": "banana"}]},
    },
    offers=frozenset({"concepts"}),
    prompted=True,
    needs="papa.benchmark.tasks.sd15.needs",
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
