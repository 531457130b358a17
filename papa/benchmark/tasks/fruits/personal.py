"""The shipped adapters of `fruits` with their user encoders, from a folder of artefacts of their own.

Its model card is its own too: a new adapter changes no run that draws without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from papa.benchmark.tasks.artefacts import folder, verified_card
from papa.benchmark.tasks.fruits.clip import clip_judge
from papa.benchmark.tasks.prompts import PromptBank
from papa.models.personal.adapter import UserAdapter, read_adapter
from papa.models.personal.encoder import ClipEncoder, ImageEncoder, PixelEncoder

NAME = "fruits_ppd"
ENCODER = "encoder"


@cache
def load(kind: str = "ppd", device: str = "cpu") -> UserAdapter:
    """An adapter and its encoder.

    Args:    kind: "ppd"; or a control: "dpo" (no user conditioning), "shuffled" (users shuffled in training),
             "pixels" (pixel statistics in the place of the encoder).
    Raises:  ArtefactError for a file that is missing or damaged.
    """
    verified_card(NAME)
    adapter = read_adapter(folder(NAME) / f"{kind}.safetensors")
    return UserAdapter(adapter, user_encoder(folder(NAME) / ENCODER, adapter.about.encoder, device))


def user_encoder(place: Path, name: str, device: str = "cpu") -> ImageEncoder:
    """A user encoder, "clip" or "pixels", standardized on the pool of the recipe."""
    known = load_file(place / f"{name}.safetensors")
    if name == PixelEncoder.name:
        return PixelEncoder(known["mean"], known["deviation"])
    clip = clip_judge(place, None, device)

    def texts(sentences: Sequence[str]) -> Tensor:
        return clip.encoded(PromptBank([{"said": said} for said in sentences], [[said] for said in sentences]))

    return ClipEncoder(clip.embed, texts, known["mean"], known["deviation"])
