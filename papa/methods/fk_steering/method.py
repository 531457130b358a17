"""FK steering with an online surrogate; the mathematics is in `papa.smc.steering`."""

from __future__ import annotations

from papa.methods.fk_steering import FkSteeringSettings
from papa.methods.shared.tilted.method import Populations
from papa.rng import Stream
from papa.smc.population import Particles
from papa.smc.steering import steer


class FkSteering(Populations[FkSteeringSettings]):
    """Particles of the base chain, resampled every few steps."""

    def population(self, populations: int, strengths: dict[str, float], stream: Stream) -> Particles:
        result = steer(
            self.model.denoiser(self.cost),
            self.preference,
            self._sigmas,
            strengths["beta"],
            self.settings.potential,
            self.settings.every,
            self.noise(stream, populations * self.settings.particles),
            lambda step: self.uniforms(stream, step, populations),
            self.settings.ess_threshold,
        )
        self.keep(result.trace)
        return result
