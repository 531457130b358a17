"""Diffusion-DPO: fine-tune on pairs of a liked and a disliked item (Wallace et al. 2023, arXiv 2311.12908)."""

from __future__ import annotations

from papa.methods.declaration import Declaration
from papa.methods.shared.finetune import FinetuneSettings
from papa.settings import Rate


class DiffusionDpoSettings(FinetuneSettings):
    """Diffusion-DPO: an update takes `items` / 2 pairs, so that it costs what an update of PAPA does."""

    strength: Rate = 15.0
    """beta T omega of the loss, for errors that are means over the entries of a latent."""


DIFFUSION_DPO = Declaration(
    DiffusionDpoSettings,
    "papa.methods.diffusion_dpo.method:DiffusionDpo",
    "Diffusion-DPO (arXiv 2311.12908)",
    pictures=frozenset({"grades", "pairs"}),
)
