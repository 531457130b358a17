"""DiffusionNFT: what is liked against what is not, on the forward process (Zheng et al. 2025, arXiv 2509.16117)."""

from __future__ import annotations

from papa.methods.declaration import Declaration
from papa.methods.shared.finetune import FinetuneSettings
from papa.settings import Fraction, Rate


class DiffusionNftSettings(FinetuneSettings):
    """DiffusionNFT: an implicit positive and an implicit negative model, both made of the trained one and an older."""

    strength: Rate = 1.0
    """b: how far the implicit models stand from the older one. At 1 the positive one is the trained model."""
    keep: Fraction = 0.5
    """Share of the older model that stays in its average at the end of a round."""


DIFFUSION_NFT = Declaration(
    DiffusionNftSettings, "papa.methods.diffusion_nft.method:DiffusionNft", "DiffusionNFT (arXiv 2509.16117)"
)
