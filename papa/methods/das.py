"""DAS: tempered particles guided by the reward's gradient; the mathematics is in `papa.smc.tempering`.

Source: Kim et al. 2025 (arXiv 2501.05803).
"""

from __future__ import annotations

from typing import Literal

from papa.methods._lazy import Particles, smc, tempering
from papa.methods._tilted import ParticleSettings, Tilted
from papa.methods.declaration import Declaration
from papa.rng import Stream
from papa.settings import Fraction
from papa.smc import FkcOptions


class DasSettings(ParticleSettings):
    """DAS: FKC's exact kernel with the gradient through the denoiser, and an inverse temperature that rises late."""

    tempering: Literal["schedule", "adaptive"] = "schedule"
    """How the inverse temperature rises along the trajectory: see `papa.smc.tempering`."""
    gradient: Literal["leaf", "through"] = "through"
    """Reward gradient through the denoiser, as in the paper, or at the clean estimate, at a third of the cost."""
    ess_threshold: Fraction = 0.5
    """Resample where the effective sample size falls below this share of N; `adaptive` keeps it there."""


class Das(Tilted[DasSettings]):
    """Diffusion alignment as sampling."""

    def population(self, populations: int, last: bool, stream: Stream) -> Particles:
        settings, beta = self.settings, self.beta(last)
        rest = (
            self.latent_noise(stream, populations * settings.particles),
            self.uniforms(stream, populations),
            FkcOptions(
                gradient=settings.gradient,
                guidance="full" if settings.gradient == "through" else "shrunk",
                ess_threshold=settings.ess_threshold,
            ),
            self.model.spread,
        )
        denoise = self.model.denoiser(self.cost)
        if settings.tempering == "adaptive":
            result = tempering.adaptively_tempered(denoise, self.preference, self._sigmas, beta, *rest)
        else:
            betas = tempering.scheduled_betas(beta, len(self._sigmas) - 1)
            result = smc.fkc(denoise, self.preference, self._sigmas, betas, *rest)
        self._trace = result.trace.rows()
        return result


DAS = Declaration(DasSettings, Das, "DAS (arXiv 2501.05803)")
