"""FK steering: particles of the base, resampled by the reward of their clean estimates.

Source: Singhal et al. 2025 (arXiv 2501.06848); the mathematics is in `papa.smc.steering`.
"""

from __future__ import annotations

from typing import Literal

from papa.methods._lazy import Particles, steering
from papa.methods._tilted import ParticleSettings, Tilted
from papa.methods.declaration import Declaration
from papa.rng import Stream
from papa.settings import Fraction, Positive


class FkSteeringSettings(ParticleSettings):
    """FK steering: no gradient; a reward need not have one."""

    potential: Literal["difference", "max", "sum"] = "difference"
    """Potential that weights the particles: see `papa.smc.steering`."""
    every: Positive = 4
    """Steps from one resampling to the next; the last step always resamples."""
    ess_threshold: Fraction = 1.0
    """Resample only where the effective sample size falls below this share of N (1: always)."""


class FkSteering(Tilted[FkSteeringSettings]):
    """Particles of the base chain, resampled every few steps."""

    def population(self, populations: int, last: bool, stream: Stream) -> Particles:
        result = steering.steer(
            self.model.denoiser(self.cost),
            self.preference,
            self._sigmas,
            self.beta(last),
            self.settings.potential,
            self.settings.every,
            self.latent_noise(stream, populations * self.settings.particles),
            self.uniforms(stream, populations),
            self.settings.ess_threshold,
        )
        self._trace = result.trace.rows()
        return result


FK_STEERING = Declaration(FkSteeringSettings, FkSteering, "Feynman-Kac steering (arXiv 2501.06848)")
