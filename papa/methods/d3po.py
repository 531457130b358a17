"""D3PO: direct preference optimization of every denoising step, without a reward model.

Every liked item is preferred to every disliked one, of all rounds: ratios are to the base, so older trajectories can be
used as well. The loss is `papa.methods.losses.d3po_loss`, its mean over pairs and steps.

Source: Yang et al. 2023, "Using Human Feedback to Fine-tune Diffusion Models without Any Reward Model" (arXiv
2311.13231).
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from papa.feedback import Feedback, Query
from papa.methods._finetune import FinetuneSettings, OnTrajectories, Update
from papa.methods._lazy import Trajectory, denoising, losses, torch, trajectory
from papa.methods.declaration import Declaration
from papa.settings import Rate


class D3poSettings(FinetuneSettings):
    """D3PO. `timesteps` counts transitions of an item; an update takes `items` / 2 pairs."""

    beta: Rate = 0.1
    """Weight of the log-ratios, the paper's value."""
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Ratios to the base are clipped to [1 - clip, 1 + clip], the released value."""


class D3po(OnTrajectories[D3poSettings]):
    """Pairs of trajectories, regularized to the pre-trained model by the loss itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept: list[Trajectory] = []
        self._all: Trajectory | None = None

    @property
    def items(self) -> int:
        return max(1, self.settings.items // 2)

    def learn(self, query: Query, feedback: Feedback) -> None:
        self._kept.append(self.shown(query))
        self._all = trajectory.together(self._kept)
        self.seen.add(query, feedback)
        liked, disliked = losses.matched(self.seen.preference, self.stream.at("pairs", round=self.round))
        self.train(torch.from_numpy(np.stack([liked, disliked], 1)), np.ones(len(liked)))

    def gradient(self, update: Update) -> tuple[float, ...]:
        """update.x0: (m, 2) trajectories, the preferred one first."""
        assert self._all is not None
        denoise, base = self.denoisers()
        steps, total = self.steps_of(update, self._all.transitions), 0.0
        for pairs in self.parts(update.x0):
            of = self._all.take(pairs.T.flatten())
            for step in steps:
                with torch.no_grad():
                    reference = trajectory.step_log_prob(base, of, step)
                ratios = (trajectory.step_log_prob(denoise, of, step) - reference).view(2, -1)
                self.count(2 * len(pairs), frozen=True)
                each = losses.d3po_loss(ratios, self.settings.beta, self.settings.clip)
                loss = each.sum() / (len(steps) * len(update.x0))
                denoising.backward(loss, update.scale)
                total += loss.item()
        return (total,)


D3PO = Declaration(D3poSettings, D3po, "D3PO (arXiv 2311.13231)", pictures=frozenset())
