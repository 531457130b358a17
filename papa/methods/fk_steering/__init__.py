"""FK steering: particles of the base, resampled by the reward of their clean estimates (arXiv 2501.06848)."""

from __future__ import annotations

from papa.methods.declaration import Declaration
from papa.methods.shared.tilted import ParticleSettings
from papa.settings import Fraction, Positive
from papa.smc import Potential


class FkSteeringSettings(ParticleSettings):
    """FK steering: no gradient; a reward need not have one."""

    potential: Potential = "difference"
    """By what particles are weighted: see `papa.smc.steering`."""
    every: Positive = 4
    """Steps from one resampling to the next; the last step always resamples."""
    ess_threshold: Fraction = 1.0
    """Resample only where the effective sample size falls below this share of N (1: always)."""


FK_STEERING = Declaration(
    FkSteeringSettings, "papa.methods.fk_steering.method:FkSteering", "Feynman-Kac steering (arXiv 2501.06848)"
)
