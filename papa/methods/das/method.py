"""DAS with an online surrogate; the mathematics is in `papa.smc.tempering`."""

from __future__ import annotations

from papa.methods.das import DasSettings
from papa.methods.shared.tilted.method import Populations
from papa.rng import Stream
from papa.smc.fkc import Options, fkc
from papa.smc.population import Particles
from papa.smc.tempering import adaptively_tempered, scheduled_betas


class Das(Populations[DasSettings]):
    """Diffusion alignment as sampling."""

    def population(self, populations: int, strengths: dict[str, float], stream: Stream) -> Particles:
        settings, beta = self.settings, strengths["beta"]
        options = Options(
            gradient=settings.gradient,
            guidance="full" if settings.gradient == "through" else "shrunk",
            ess_threshold=settings.ess_threshold,
            spread=self.model.spread,
        )
        given = (
            self.noise(stream, populations * settings.particles),
            lambda step: self.uniforms(stream, step, populations),
            options,
        )
        denoise = self.model.denoiser(self.cost)
        if settings.tempering == "adaptive":
            result = adaptively_tempered(denoise, self.preference, self._sigmas, beta, *given)
        else:
            betas = scheduled_betas(beta, len(self._sigmas) - 1, settings.tempering_gamma)
            result = fkc(denoise, self.preference, self._sigmas, betas, *given)
        self.keep(result.trace)
        return result
