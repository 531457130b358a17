"""DDPO with importance sampling, and DPOK.

    A = (s - mean) / sd                                         over all answers so far
    rho = p_theta(y' | y) / p_old(y' | y)                       of each transition of what was shown in this round
    L = mean of max(-A rho, -A clip(rho, 1 - c, 1 + c)) + kl KL(p_theta(. | y) || p_base(. | y))

Source: Black et al. 2023, "Training Diffusion Models with Reinforcement Learning" (arXiv 2305.13301), section 4.3 and
appendix: rewards are standardized for each prompt (there is one here), ratios clipped as in PPO. The KL term is that of
Fan et al. 2023, "DPOK" (arXiv 2305.16381), section 4.2. Samplers with eta = 1 are Euler-ancestral ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from papa.diffusion.losses import backward
from papa.diffusion.trajectory import Trajectory, step_divergence, step_log_prob
from papa.feedback import Feedback, Query
from papa.methods.ddpo import DdpoSettings
from papa.methods.shared.finetune.training import Update
from papa.methods.shared.finetune.trajectories import OnTrajectories

LARGEST = 20.0
"""Of the log-ratio, in nats: beyond it exp overflows, and the gradient of what is clipped would be NaN."""


def clipped_loss(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """(n,) PPO's losses. ratio, advantage: (n,)."""
    return (-advantage * ratio).maximum(-advantage * ratio.clamp(1 - clip, 1 + clip))


class Ddpo(OnTrajectories[DdpoSettings]):
    """Policy gradients on the round that was just answered."""

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
        if self._deviation > 0:  # where all answers are equal nothing is better than anything
            self.train(torch.from_numpy(answered), feedback.preference[answered])

    def gradient(self, update: Update) -> tuple[float, ...]:
        """update.x0: (m,) which trajectories of the round."""
        assert self._round is not None
        denoise, base = self.denoisers()
        advantages = torch.from_numpy((update.preference - self._mean) / self._deviation)
        steps = self.steps_of(update, self._round.transitions)
        share, totals = 1 / (len(steps) * len(update.x0)), np.zeros(2)
        for chosen, advantage in zip(self.parts(update.x0), self.parts(advantages), strict=True):
            of = self._round.take(chosen)
            for step in steps:
                ratio = (step_log_prob(denoise, of, step) - of.log_probs[step]).clamp(max=LARGEST).exp()
                policy = share * clipped_loss(ratio, advantage.to(ratio), self.settings.clip).sum()
                self.count(len(chosen))
                backward(policy, update.scale)
                totals[0] += policy.item()
                if self.settings.kl:
                    near = share * self.settings.kl * step_divergence(denoise, base, of, step).sum()
                    self.count(len(chosen), frozen=True)
                    backward(near, update.scale)
                    totals[1] += near.item()
        return tuple(totals.tolist())
