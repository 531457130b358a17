"""DDPO with importance sampling; with a KL term it is DPOK.

    A = (s - mean) / sd                                         over all answers so far
    rho = p_theta(y' | y) / p_old(y' | y)                       of each transition of this round's samples
    L = mean of max(-A rho, -A clip(rho, 1 - c, 1 + c)) + kl KL(p_theta(. | y) || p_base(. | y))

Source: Black et al. 2023, "Training Diffusion Models with Reinforcement Learning" (arXiv 2305.13301), section 4.3 and
appendix: rewards are standardized for each prompt (there is one here), ratios clipped as in PPO. The KL term is that of
Fan et al. 2023, "DPOK" (arXiv 2305.16381), section 4.2. Samplers with eta = 1 are Euler-ancestral ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from papa.feedback import Feedback, Query
from papa.methods._finetune import FinetuneSettings, OnTrajectories, Update
from papa.methods._lazy import Trajectory, denoising, losses, torch, trajectory
from papa.methods.declaration import Declaration
from papa.settings import NonNegative, Rate

LARGEST = 20.0
"""Largest log-ratio, nats: beyond it exp overflows, and the gradient of a clipped ratio would be NaN."""


class DdpoSettings(FinetuneSettings):
    """DDPO. `timesteps` counts transitions of an item here."""

    clip: Rate = 1e-4
    """Ratios of probabilities are clipped to [1 - clip, 1 + clip], the paper's value."""
    kl: NonNegative = 0.0
    """Weight of the KL divergence of each transition to the base's: DPOK."""


class Ddpo(OnTrajectories[DdpoSettings]):
    """Policy gradients on the last round."""

    terms = ("loss_policy", "loss_kl")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._round: Trajectory | None = None
        self._mean, self._deviation = 0.0, 0.0

    def learn(self, query: Query, feedback: Feedback) -> None:
        self._round = self.shown(query)
        self.seen.add(query, feedback)
        answers = self.seen.preference[~np.isnan(self.seen.preference)]
        if len(answers):
            self._mean, self._deviation = float(answers.mean()), float(answers.std())
        answered = np.flatnonzero(~np.isnan(feedback.preference))
        if self._deviation > 0:  # where all answers are equal there is no advantage
            self.train(torch.from_numpy(answered), feedback.preference[answered])

    def gradient(self, update: Update) -> tuple[float, ...]:
        """update.x0: (m,) indices of trajectories of the round."""
        assert self._round is not None
        denoise, base = self.denoisers()
        advantages = torch.from_numpy((update.preference - self._mean) / self._deviation)
        steps = self.steps_of(update, self._round.transitions)
        share, totals = 1 / (len(steps) * len(update.x0)), np.zeros(2)
        for chosen, advantage in zip(self.parts(update.x0), self.parts(advantages), strict=True):
            of = self._round.take(chosen)
            for step in steps:
                log_prob = trajectory.step_log_prob(denoise, of, step)
                ratio = (log_prob - of.log_probs[step]).clamp(max=LARGEST).exp()
                policy = share * losses.ppo_loss(ratio, advantage.to(ratio), self.settings.clip).sum()
                self.count(len(chosen))
                denoising.backward(policy, update.scale)
                totals[0] += policy.item()
                if self.settings.kl:
                    near = share * self.settings.kl * trajectory.step_divergence(denoise, base, of, step).sum()
                    self.count(len(chosen), frozen=True)
                    denoising.backward(near, update.scale)
                    totals[1] += near.item()
        return tuple(totals.tolist())


DDPO = Declaration(DdpoSettings, Ddpo, "DDPO (arXiv 2305.13301); DPOK (arXiv 2305.16381)", pictures=frozenset())
