"""SEIKO: feedback-efficient online fine-tuning by the gradient of a reward model and its uncertainty.

    L = -mean of [ r(x) + bonus sd(x) ]
        + kl mean of the sum over the last K steps of KL(p_theta(. | y) || p_previous(. | y))

x is sampled by the model in training, and the gradient goes back through the last K steps of its sampler (DRaFT-K,
Clark et al. 2023, arXiv 2309.17400). r and sd are mean and standard deviation of an ensemble of surrogates. The last
step of the sampler, to noise level 0, is deterministic; its divergence is computed with the variance of its noise
level.

Source: Uehara et al. 2024, "Feedback Efficient Online Fine-Tuning of Diffusion Models" (arXiv 2402.16359), algorithm 1
and section 5.2 (bootstrap).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from pydantic import model_validator

from papa.feedback import Feedback, Query
from papa.methods._finetune import FineTuned, FinetuneSettings, Update
from papa.methods._lazy import Tensor, _reward_models, denoiser, denoising, lora, nn, sampler, torch
from papa.methods._surrogate import SurrogateSettings, reward_model
from papa.methods.declaration import Declaration
from papa.settings import NonNegative, Positive


class SeikoSettings(FinetuneSettings):
    """SEIKO. An update uses `items` samples of its own; `timesteps` is not used."""

    through: Positive = 2
    """Last steps of the sampler that the gradient goes through (DRaFT-K)."""
    ensemble: Positive = 4
    """Reward models, each fitted to another bootstrap sample of the answers; `surrogate.kind: features` has one."""
    bonus: NonNegative = 1.0
    """Weight of their standard deviation in the reward (optimism). 0 is the reward-model baseline that PAPA argues
    against."""
    kl: NonNegative = 0.01
    """Weight of the KL divergence to the previous round's model."""
    surrogate: SurrogateSettings = SurrogateSettings()

    @model_validator(mode="after")
    def _the_model_asks(self) -> SeikoSettings:
        if self.surrogate.query != "own":
            raise ValueError("surrogate.query: SEIKO shows samples of its own model; leave it at own")
        return self


class Seiko(FineTuned[SeikoSettings]):
    """The reward's gradient through the sampler, with optimism and a KL term to the previous round."""

    terms = ("loss_reward", "loss_kl")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        surrogate = self.settings.surrogate
        members = 1 if _reward_models.KINDS[surrogate.kind].has_variance else self.settings.ensemble
        self.surrogates = [reward_model(surrogate, self, member=member) for member in range(members)]
        self.previous: nn.Module = self.base
        self._error = float("nan")

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        answered = np.flatnonzero(~np.isnan(self.seen.preference))
        if not len(answered):
            return
        self._fit(answered)
        self.previous = lora.copy_sharing_frozen(self.network)
        self.train(torch.arange(self.items), np.ones(self.items))

    def _fit(self, answered: np.ndarray) -> None:
        """Fit every reward model to a bootstrap sample of its own; a single one to all labels."""
        errors = []
        for member, surrogate in enumerate(self.surrogates):
            stream, chosen = self.stream.at("surrogate", "fit", round=self.round, member=member), answered
            if len(self.surrogates) > 1:
                chosen = answered[stream.at("bootstrap").generator().integers(len(answered), size=len(answered))]
            latents = self.seen.latents[torch.from_numpy(chosen)]
            errors.append(surrogate.fit(latents, self.seen.preference[chosen], stream))
        self._error = float(np.mean(errors))

    def optimistic(self, x: Tensor) -> Tensor:
        """(n,) mean of the reward and `bonus` times its standard deviation."""
        if self.surrogates[0].has_variance:
            mean, deviation = self.surrogates[0].predict(x)
            return mean + self.settings.bonus * deviation
        scores = torch.stack([surrogate(x) for surrogate in self.surrogates])
        return scores.mean(0) + self.settings.bonus * scores.std(0, correction=0)

    def gradient(self, update: Update) -> tuple[float, ...]:
        """update.x0: (m,) numbers of the samples of this update, not items."""
        noise, totals = self.latent_noise(update.stream, len(update.x0)), np.zeros(2)
        every = [noise(step) for step in range(len(self._sigmas))]
        for chosen in update.x0.split(max(1, self.settings.chunk // self.settings.through)):
            x, divergence = self._sampled([of[chosen] for of in every])
            reward = -self.optimistic(x).sum() / len(update.x0)
            near = self.settings.kl * divergence.sum() / len(update.x0)
            denoising.backward(reward + near, update.scale)
            totals += np.array([reward.item(), near.item()])
        return tuple(totals.tolist())

    def _sampled(self, noise: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Samples, differentiable through the last steps, and their divergence: (n, ...) and (n,)."""
        levels, n = self._sigmas.tolist(), len(noise[0])
        denoise, before = (self.model.denoiser(denoiser.Cost(), net) for net in (self.network, self.previous))
        free = len(levels) - 1 - self.settings.through
        y, divergence = levels[0] * noise[0], torch.zeros(n, dtype=torch.float64, device=noise[0].device)
        evaluations = n * self.model.evaluations_per_step
        for step, (sigma, after) in enumerate(pairwise(levels)):
            learns = step >= free
            with torch.set_grad_enabled(learns):
                mean, variance = sampler.ancestral_kernel(y, denoise(y, sigma), sigma, after)
            self.cost.forward += evaluations
            if learns:
                self.cost.backward += evaluations
                self.cost.frozen += evaluations
                other, _ = sampler.ancestral_kernel(y, before(y, sigma), sigma, after)  # y depends on the weights
                square = (mean - other).flatten(1).double().square().sum(1)
                divergence = divergence + square / (2 * (variance or sigma**2))
            y = mean + variance**0.5 * noise[step + 1] if variance > 0 else mean
        return y, divergence

    def diagnostics(self) -> dict[str, float]:
        return super().diagnostics() | {"surrogate_mse": self._error}


SEIKO = Declaration(SeikoSettings, Seiko, "SEIKO (arXiv 2402.16359)")
