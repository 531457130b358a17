"""SEIKO: feedback-efficient online fine-tuning.

    L = -mean of [ r(x) + bonus sd(x) ]
        + kl mean of the sum over the last K steps of KL(p_theta(. | y) || p_previous(. | y))

x is drawn by the model in training, and the gradient goes back through the last K steps of its sampler (DRaFT-K, Clark
et al. 2023, arXiv 2309.17400). r and sd are mean and standard deviation of an ensemble of surrogates. The last step of
the sampler, to noise level 0, is deterministic; its divergence is taken as if it had the variance of its noise level.

Source: Uehara et al. 2024, "Feedback Efficient Online Fine-Tuning of Diffusion Models" (arXiv 2402.16359), algorithm 1
and section 5.2 (bootstrap).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from papa.diffusion.denoiser import Cost
from papa.diffusion.losses import backward
from papa.diffusion.sampler import ancestral_kernel, stream_noise
from papa.feedback import Feedback, Query
from papa.methods.seiko import SeikoSettings
from papa.methods.shared.finetune.training import FineTuned, Update
from papa.methods.shared.surrogate.choice import surrogate_of
from papa.methods.shared.surrogate.features import FeatureSurrogate
from papa.methods.shared.surrogate.interface import Known
from papa.models.lora import copy_sharing_frozen


class Seiko(FineTuned[SeikoSettings]):
    """The reward's gradient through the sampler, with optimism and a pull to the round before."""

    terms = ("loss_reward", "loss_kl")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        members = range(1 if self.settings.surrogate.kind == "features" else self.settings.ensemble)
        self.surrogates = [surrogate_of(self.settings.surrogate, self._known(member)) for member in members]
        self.previous: nn.Module = self.base
        self._error = float("nan")

    def _known(self, member: int) -> Known:
        stream = self.stream.at("surrogate", member=member)
        return Known(self.model, stream, self.base_latents, lambda: self.cost)

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        answered = np.flatnonzero(~np.isnan(self.seen.preference))
        if not len(answered):
            return
        self._fit(answered)
        self.previous = copy_sharing_frozen(self.network)
        self.train(torch.arange(self.items), np.ones(self.items))

    def _fit(self, answered: np.ndarray) -> None:
        """Fit every reward model to a bootstrap sample of its own; one that knows its variance needs no others."""
        errors = []
        for member, surrogate in enumerate(self.surrogates):
            stream, drawn = self.stream.at("surrogate", "fit", round=self.round, member=member), answered
            if len(self.surrogates) > 1:
                drawn = answered[stream.at("bootstrap").generator().integers(len(answered), size=len(answered))]
            latents = self.seen.latents[torch.from_numpy(drawn)]
            errors.append(surrogate.fit(latents, self.seen.preference[drawn], stream))
        self._error = float(np.mean(errors))

    def optimistic(self, x: Tensor) -> Tensor:
        """(n,) mean of the reward models and `bonus` times their standard deviation, or that of the head."""
        if isinstance(head := self.surrogates[0], FeatureSurrogate):
            mean, deviation = head.at(x)
            return mean + self.settings.bonus * deviation
        scores = torch.stack([surrogate(x) for surrogate in self.surrogates])
        return scores.mean(0) + self.settings.bonus * scores.std(0, correction=0)

    def gradient(self, update: Update) -> tuple[float, ...]:
        """update.x0: (m,) numbers of the samples that are drawn, no items."""
        stream, totals = update.stream, np.zeros(2)
        noise = stream_noise(stream, (len(update.x0), *self.model.shape), self.model.dtype, self.model.device)
        every = [noise(step) for step in range(len(self._sigmas))]
        for chosen in update.x0.split(max(1, self.settings.chunk // self.settings.through)):
            x, divergence = self._drawn([of[chosen] for of in every])
            reward = -self.optimistic(x).sum() / len(update.x0)
            near = self.settings.kl * divergence.sum() / len(update.x0)
            backward(reward + near, update.scale)
            totals += np.array([reward.item(), near.item()])
        return tuple(totals.tolist())

    def _drawn(self, noise: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Samples, differentiable through the last steps, and the divergence of those: (n, ...) and (n,)."""
        levels, n = self._sigmas.tolist(), len(noise[0])
        denoise, before = (self.model.denoiser(Cost(), net) for net in (self.network, self.previous))
        free = len(levels) - 1 - self.settings.through
        y, divergence = levels[0] * noise[0], torch.zeros(n, dtype=torch.float64, device=noise[0].device)
        evaluations = n * self.model.evaluations_per_step
        for step, (sigma, after) in enumerate(pairwise(levels)):
            learns = step >= free
            with torch.set_grad_enabled(learns):
                mean, variance = ancestral_kernel(y, denoise(y, sigma), sigma, after)
            self.cost.forward += evaluations
            if learns:
                self.cost.backward += evaluations
                self.cost.frozen += evaluations
                other, _ = ancestral_kernel(y, before(y, sigma), sigma, after)  # y depends on what is trained
                square = (mean - other).flatten(1).double().square().sum(1)
                divergence = divergence + square / (2 * (variance or sigma**2))
            y = mean + variance**0.5 * noise[step + 1] if variance > 0 else mean
        return y, divergence

    def diagnostics(self) -> dict[str, float]:
        return super().diagnostics() | {"surrogate_mse": self._error}

    def state(self) -> dict[str, Any]:
        return super().state() | {"surrogates": [surrogate.state() for surrogate in self.surrogates]}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        for surrogate, of in zip(self.surrogates, state["surrogates"], strict=True):
            surrogate.restore(of)
