"""Diffusion-KTO: fine-tune on likes and dislikes without pairs (Li et al. 2024, arXiv 2404.04465)."""

from __future__ import annotations

from papa.methods.declaration import Declaration
from papa.methods.shared.finetune import FinetuneSettings
from papa.settings import Rate


class DiffusionKtoSettings(FinetuneSettings):
    """Diffusion-KTO: the expected utility of likes and dislikes, against a common reference point."""

    strength: Rate = 15.0
    """beta T omega of the loss, for errors that are means over the entries of a latent."""


DIFFUSION_KTO = Declaration(
    DiffusionKtoSettings, "papa.methods.diffusion_kto.method:DiffusionKto", "Diffusion-KTO (arXiv 2404.04465)"
)
