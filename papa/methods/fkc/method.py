"""FKC: training-free alignment by reward-tilted particles.

Source: the FKC document (Active Preference Alignment) and Skreta et al. 2025; the mathematics is in
`papa.smc.fkc`. The diffusion model's weights never change; only a small surrogate learns.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from papa.feedback import Feedback, Query
from papa.methods.fkc import FkcSettings
from papa.methods.shared.tilted.method import Populations
from papa.rng import Stream
from papa.smc.diversity import diversity
from papa.smc.fkc import Options, Particles, Reward, fkc


class Fkc(Populations[FkcSettings]):
    """Feynman-Kac correctors with an online surrogate reward."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings = self.settings
        self.options = Options(
            weights=settings.weights,
            reward_on=settings.reward_on,
            gradient=settings.gradient,
            guidance=settings.guidance,
            resampling=settings.resampling,
            ess_threshold=settings.ess_threshold,
            clamp=settings.clamp_weights,
            spread=self.model.spread,
        )
        self._past: Tensor | None = None

    def strengths(self, last: bool) -> dict[str, float]:
        """The inverse temperature, and the weight of the diversity term."""
        first, end = self.settings.gamma_max, self.settings.gamma_min
        gamma = end if last else self.along_rounds(first, end)
        return super().strengths(last) | {"gamma": gamma if self.settings.diversity else 0.0}

    def _along_trajectory(self, beta: float) -> Tensor:
        """(steps + 1,) inverse temperatures from 0 at pure noise to `beta` at the data.

        Linear in the step. A reward of the noisy state itself would then pull far too hard where the
        states are wide, so there beta rises as sigma_d^2 / (sigma_d^2 + sigma^2) does.
        """
        if self.settings.reward_on == "state":
            spread = self.model.spread**2
            return beta * spread / (spread + self._sigmas**2)
        return torch.linspace(0, beta, len(self._sigmas), dtype=torch.float64)

    def _reward(self, gamma: float, populations: int) -> Reward:
        """u of (P N, ...) clean points: the preference and, where gamma > 0, the diversity term."""

        def reward(z: Tensor) -> Tensor:
            preference = self.preference(z)
            if gamma > 0:
                spread = diversity(z.view(populations, -1, *z.shape[1:]), self._past)
                preference = preference + gamma * spread.flatten()
            return preference

        return reward

    def population(self, populations: int, strengths: dict[str, float], stream: Stream) -> Particles:
        n, beta, gamma = populations * self.settings.particles, strengths["beta"], strengths["gamma"]
        start = None
        if self.settings.init == "base":
            # Separate noise: the base latents were drawn from the noise of the final samples.
            start = self.base_latents(n) + self._sigmas[0].item() * self.noise(stream.at("init"), n)(0)
        result = fkc(
            self.model.denoiser(self.cost),
            self._reward(gamma, populations),
            self._sigmas,
            self._along_trajectory(beta),
            self.noise(stream, n),
            lambda step: self.uniforms(stream, step, populations),
            self.options,
            start,
        )
        self.keep(result.trace, gamma=gamma)
        return result

    def learn(self, query: Query, feedback: Feedback) -> None:
        super().learn(query, feedback)
        self._remember()

    def _remember(self) -> None:
        """What the diversity term keeps away from."""
        self._past = self.seen.latents[-self.settings.history :] if self.settings.history else None

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        if self.round:
            self._remember()
