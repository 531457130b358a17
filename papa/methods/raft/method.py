"""RAFT: the denoising loss on the liked items.

    L = mean over liked items, and over t, of MSE(eps, eps_theta(x_t, t))

Source: Dong et al. 2023, "RAFT: Reward rAnked FineTuning" (arXiv 2304.06767), algorithm 1. There the best of a batch by
a reward are kept; here, where a person answers like or dislike, those that are liked (s > 1/2).
"""

from __future__ import annotations

import numpy as np
import torch

from papa.feedback import Feedback, Query
from papa.methods.raft import RaftSettings
from papa.methods.shared.finetune.training import FineTuned, Update


class Raft(FineTuned[RaftSettings]):
    """Online fine-tuning on liked items alone."""

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        liked = np.flatnonzero(self.seen.preference > 0.5)  # unanswered items are NaN, which is not above anything
        self.train(self.seen.latents[torch.from_numpy(liked)], self.seen.preference[liked])

    def gradient(self, update: Update) -> tuple[float, ...]:
        return (self.denoising_gradient(update, np.full(len(update.x0), 1 / len(update.x0))),)
