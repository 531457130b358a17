"""DDPO: policy gradients over denoising steps (Black et al. 2023); with a KL term it is DPOK (Fan et al. 2023)."""

from __future__ import annotations

from papa.methods.declaration import Declaration
from papa.methods.shared.finetune import FinetuneSettings
from papa.settings import NonNegative, Rate


class DdpoSettings(FinetuneSettings):
    """DDPO. `timesteps` counts transitions of an item here."""

    clip: Rate = 1e-4
    """Ratios of probabilities count from 1 - clip to 1 + clip, the paper's value."""
    kl: NonNegative = 0.0
    """Weight of the KL divergence of each transition to the base's: DPOK."""


DDPO = Declaration(
    DdpoSettings,
    "papa.methods.ddpo.method:Ddpo",
    "DDPO (arXiv 2305.13301); DPOK (arXiv 2305.16381)",
    pictures=frozenset(),
)
