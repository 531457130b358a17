"""Reward guidance: every step of the base sampler is shifted along the gradient of the reward.

    y' = mean + vbar beta' s G + sqrt(vbar) n        (the proposal of `papa.smc.fkc`, the exact form)

No weights, no resampling; samples are independent and follow no known density. The shift is what the exact weights of
FKC correct. Source: Dhariwal & Nichol 2021 (arXiv 2105.05233), section 4; at the clean estimate Chung et al. 2022
(arXiv 2209.14687).
"""

from __future__ import annotations

from typing import Literal

from papa.methods._lazy import Particles, Tensor, smc, torch
from papa.methods._tilted import Tilted, TiltedSettings
from papa.methods.declaration import Declaration
from papa.rng import Stream
from papa.smc import FkcOptions


class RewardGuidanceSettings(TiltedSettings):
    """FKC's proposal alone; the difference to FKC is the effect of the corrector."""

    gradient: Literal["leaf", "through"] = "leaf"
    """Reward gradient at the clean estimate, or through the denoiser."""
    guidance: Literal["shrunk", "full"] = "shrunk"
    """Scale of the shift: sigma_d^2 / (sigma_d^2 + sigma^2), or 1."""


class RewardGuidance(Tilted[RewardGuidanceSettings]):
    """Guided sampling with an online surrogate reward."""

    def population(self, populations: int, last: bool, stream: Stream) -> Particles:
        """One population of this many particles, without resampling."""
        n, unused = populations, torch.zeros(1, populations)
        options = FkcOptions(gradient=self.settings.gradient, guidance=self.settings.guidance, resampling="none")
        return smc.fkc(
            self.model.denoiser(self.cost),
            self.preference,
            self._sigmas,
            torch.linspace(0, self.beta(last), len(self._sigmas), dtype=torch.float64),
            self.latent_noise(stream, n),
            lambda _: unused,
            options,
            self.model.spread,
            resample_last=False,
        )

    def shown(self, k: int, stream: Stream) -> Tensor:
        self._values = {"beta": self.beta(last=False)}
        return self.population(k, False, stream).samples

    def sample(self, n: int) -> Tensor:
        return self.population(n, True, self.stream.at("sample")).samples if self.tilted else self.base_latents(n)


REWARD_GUIDANCE = Declaration(
    RewardGuidanceSettings,
    RewardGuidance,
    "classifier guidance by a reward (arXiv 2105.05233), on the clean estimate (arXiv 2209.14687)",
)
