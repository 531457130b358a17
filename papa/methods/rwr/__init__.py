"""RWR: fine-tune on all items, each weighted by the exponential of its feedback (Lee et al. 2023, arXiv 2302.12192)."""

from __future__ import annotations

from papa.methods.declaration import Declaration
from papa.methods.shared.finetune import FinetuneSettings
from papa.settings import Rate


class RwrSettings(FinetuneSettings):
    """Reward-weighted regression: the denoising loss weighted by softmax(r / temperature), r = 2 s - 1."""

    temperature: Rate = 0.5
    """Temperature of the weights: at 0.5 a liked item weighs 55 times a disliked one, near 0 it is RAFT."""


RWR = Declaration(RwrSettings, "papa.methods.rwr.method:Rwr", "reward-weighted regression (arXiv 2302.12192)")
