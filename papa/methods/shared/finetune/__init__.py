"""Settings of every method that fine-tunes the model; the training is in `training.py`. Imports no torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from papa.methods.declaration import MethodSettings
from papa.settings import Positive, Rate


class FinetuneSettings(MethodSettings):
    """What every method that fine-tunes has."""

    dial: ClassVar = "weights"

    updates: Positive = 8
    """Adam steps per round."""
    items: Positive = 20
    """Items per Adam step. Within a round every labelled item is used once before any is used again."""
    timesteps: Positive | Literal["exact"] = 5
    """Stratified timesteps K per item over the whole range 1..T, or the exact sum over all."""
    lr: Rate = 5e-4
    """Adam's learning rate."""
    chunk: Positive = 256
    """(item, timestep) pairs per forward pass. Gradients accumulate over the passes of an update, so this
    changes the memory needed, and the result only by rounding."""
    trainable: Literal["all", "lora"] = "all"
    """What is fine-tuned: every weight, or low-rank adapters of the attention layers (to_q, to_k, to_v, to_out)
    beside frozen weights that all copies of the network share."""
    lora_rank: Positive = 8
    """Rank of the adapters, where `trainable: lora`."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, a third more time."""

    @property
    def training(self) -> FinetuneSettings:
        return self
