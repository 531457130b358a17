"""FKC: training-free alignment by particles that are tilted towards a reward.

Source: the FKC draft (Active Preference Alignment) and Skreta et al. 2025 (arXiv 2503.02819); the mathematics is in
`papa.smc.fkc`. The diffusion model's weights never change; only a small surrogate learns.
"""

from __future__ import annotations

from typing import Literal

from papa.methods._lazy import Particles, Tensor, smc, torch
from papa.methods._tilted import ParticleSettings, Tilted
from papa.methods.declaration import Declaration
from papa.rng import Stream
from papa.settings import NonNegative
from papa.smc import FkcOptions

HISTORY = 64
"""Past items that the diversity term also keeps away from."""


class FkcSettings(ParticleSettings, FkcOptions):
    """FKC: reward-tilted sampling with Feynman-Kac correctors; the model's weights do not change."""

    gamma_max: NonNegative = 0.05
    """Weight of the diversity term in the first tilted round (where `diversity` is on)."""
    gamma_min: NonNegative = 0.0
    """Weight of the diversity term in the last round."""
    diversity: bool = False
    """Add gamma L_div to the reward: a heuristic outside the theory."""
    init: Literal["noise", "base"] = "noise"
    """Start of the particles: pure noise, or base latents noised to the first level."""


class Fkc(Tilted[FkcSettings]):
    """Feynman-Kac correctors with an online surrogate reward."""

    def gamma(self, last: bool) -> float:
        """Weight of the diversity term in this round, or in the last one."""
        settings = self.settings
        return self.along_rounds(settings.gamma_max, settings.gamma_min, last) if settings.diversity else 0.0

    def extra_strengths(self, last: bool) -> dict[str, float]:
        return {"gamma": self.gamma(last)}

    def _along_trajectory(self, beta: float) -> Tensor:
        """(steps + 1,) inverse temperatures from 0 at pure noise to `beta` at the data.

        Linear in the step. A reward of the noisy state would then pull too hard where the states are wide, so there
        beta rises as sigma_d^2 / (sigma_d^2 + sigma^2) does.
        """
        if self.settings.reward_on == "state":
            spread = self.model.spread**2
            return beta * spread / (spread + self._sigmas**2)
        return torch.linspace(0, beta, len(self._sigmas), dtype=torch.float64)

    def _reward(self, gamma: float, populations: int) -> smc.Reward:
        """u of (P N, ...) clean points: the preference and, where gamma > 0, the diversity term."""
        past = self.surrogate.seen.latents[-HISTORY:] if gamma > 0 and self.round else None

        def reward(z: Tensor) -> Tensor:
            preference = self.preference(z)
            if gamma > 0:
                spread = smc.diversity(z.view(populations, -1, *z.shape[1:]), past)
                preference = preference + gamma * spread.flatten()
            return preference

        return reward

    def population(self, populations: int, last: bool, stream: Stream) -> Particles:
        n, gamma = populations * self.settings.particles, self.gamma(last)
        start = None
        if self.settings.init == "base":
            # Separate noise: the base latents were sampled from the noise of the final samples.
            start = self.base_latents(n) + self._sigmas[0].item() * self.latent_noise(stream.at("init"), n)(0)
        result = smc.fkc(
            self.model.denoiser(self.cost),
            self._reward(gamma, populations),
            self._sigmas,
            self._along_trajectory(self.beta(last)),
            self.latent_noise(stream, n),
            self.uniforms(stream, populations),
            self.settings,
            self.model.spread,
            start,
        )
        self._trace = [row | {"gamma": gamma} for row in result.trace.rows()]
        return result


FKC = Declaration(FkcSettings, Fkc, "the FKC draft; Skreta et al. 2025 (arXiv 2503.02819)")
