"""DAS: tempered particles that are guided by the reward's gradient (Kim et al. 2025, arXiv 2501.05803)."""

from __future__ import annotations

from typing import Literal

from papa.methods.declaration import Declaration
from papa.methods.shared.tilted import ParticleSettings
from papa.settings import Fraction, NonNegative


class DasSettings(ParticleSettings):
    """DAS: FKC's exact kernel with the gradient through the denoiser, and an inverse temperature that rises late."""

    tempering: Literal["schedule", "adaptive"] = "schedule"
    """How the inverse temperature rises along the trajectory: see `papa.smc.tempering`."""
    tempering_gamma: NonNegative | None = None
    """gamma of the schedule; None is that which reaches beta at the last step (the paper's 0.008 does at step 87)."""
    gradient: Literal["leaf", "through"] = "through"
    """Reward gradient through the denoiser, as in the paper, or at the clean estimate, at a third of the cost."""
    ess_threshold: Fraction = 0.5
    """Resample where the effective sample size falls below this share of N; `adaptive` keeps it there."""


DAS = Declaration(DasSettings, "papa.methods.das.method:Das", "DAS (arXiv 2501.05803)")
