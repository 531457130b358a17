"""D3PO: direct preference optimization of every denoising step.

    rho_i = clip(p_theta(y' | y) / p_base(y' | y), 1 - c, 1 + c)     at one step of each item of a pair
    L = mean over pairs and steps of -log sigma( beta (log rho_preferred - log rho_rejected) )

Source: Yang et al. 2023, "Using Human Feedback to Fine-tune Diffusion Models without Any Reward Model" (arXiv
2311.13231), equation 13 with the preference h = +1, -1; the clipping is that of the released code. Every liked item is
preferred to every disliked one, of all rounds: ratios are to the base, so older trajectories serve as well.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from papa.diffusion.losses import backward
from papa.diffusion.trajectory import Trajectory, step_log_prob, together
from papa.feedback import Feedback, Query
from papa.methods.d3po import D3poSettings
from papa.methods.shared.dpo import matched
from papa.methods.shared.finetune.training import Update
from papa.methods.shared.finetune.trajectories import OnTrajectories


def d3po_loss(log_ratios: Tensor, beta: float, clip: float) -> Tensor:
    """(n,) losses in nats. log_ratios: (2, n), of what was preferred and of what was rejected."""
    preferred, rejected = log_ratios.clamp(math.log(1 - clip), math.log(1 + clip))  # clipped before exp can overflow
    return torch.nn.functional.softplus(-beta * (preferred - rejected))


class D3po(OnTrajectories[D3poSettings]):
    """Pairs of trajectories, near the pre-trained model by the loss itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept: list[Trajectory] = []
        self._all: Trajectory | None = None

    @property
    def items(self) -> int:
        return max(1, self.settings.items // 2)

    def learn(self, query: Query, feedback: Feedback) -> None:
        self._kept.append(self.shown(query))
        self._all = together(self._kept)
        self.seen.add(query, feedback)
        liked, disliked = matched(self.seen.preference, self.stream.at("pairs", round=self.round))
        self.train(torch.from_numpy(np.stack([liked, disliked], 1)), np.ones(len(liked)))

    def gradient(self, update: Update) -> tuple[float, ...]:
        """update.x0: (m, 2) which trajectories, what was preferred first."""
        assert self._all is not None
        denoise, base = self.denoisers()
        steps, total = self.steps_of(update, self._all.transitions), 0.0
        for pairs in self.parts(update.x0):
            of = self._all.take(pairs.T.flatten())
            for step in steps:
                with torch.no_grad():
                    reference = step_log_prob(base, of, step)
                ratios = (step_log_prob(denoise, of, step) - reference).view(2, -1)
                self.count(2 * len(pairs), frozen=True)
                losses = d3po_loss(ratios, self.settings.beta, self.settings.clip)
                loss = losses.sum() / (len(steps) * len(update.x0))
                backward(loss, update.scale)
                total += loss.item()
        return (total,)

    def state(self) -> dict[str, Any]:
        kept = [{"states": of.states, "log_probs": of.log_probs} for of in self._kept]
        return super().state() | {"trajectories": kept}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._kept = [Trajectory(of["states"], self._sigmas, of["log_probs"]) for of in state["trajectories"]]
