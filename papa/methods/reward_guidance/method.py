"""Reward guidance: every step of the base sampler is shifted along the gradient of the reward.

    y' = mean + vbar beta' s G + sqrt(vbar) n        (the proposal of `papa.smc.fkc`, the exact form)

Source: Dhariwal & Nichol 2021 (arXiv 2105.05233), section 4; at the clean estimate Chung et al. 2022 (arXiv
2209.14687). The samples follow no known density: the shift is what the exact weights of FKC correct.
"""

from __future__ import annotations

import torch
from torch import Tensor

from papa.methods.reward_guidance import RewardGuidanceSettings
from papa.methods.shared.tilted.method import Tilted
from papa.rng import Stream
from papa.smc.fkc import Options, fkc


class RewardGuidance(Tilted[RewardGuidanceSettings]):
    """Guided sampling with an online surrogate reward; samples have nothing to do with each other."""

    def guided(self, n: int, beta: float, stream: Stream) -> Tensor:
        """n samples, guided at the inverse temperature beta."""
        options = Options(
            gradient=self.settings.gradient,
            guidance=self.settings.guidance,
            resampling="none",
            resample_last=False,
            spread=self.model.spread,
        )
        betas = torch.linspace(0, beta, len(self._sigmas), dtype=torch.float64)
        denoise, unused = self.model.denoiser(self.cost), torch.zeros(1, n)
        return fkc(
            denoise, self.preference, self._sigmas, betas, self.noise(stream, n), lambda _: unused, options
        ).samples

    def own(self, k: int, stream: Stream) -> Tensor:
        beta = self.along_rounds(self.settings.beta_min, self.settings.beta_max)
        self._values = {"beta": beta}
        return self.guided(k, beta, stream)

    def sample(self, n: int) -> Tensor:
        if not self.tilted:
            return self.base_latents(n)
        return self.guided(n, self.settings.beta_max, self.stream.at("sample"))
