"""RAFT: fine-tuning on liked items alone.

    L = mean over liked items, and over t, of MSE(eps, eps_theta(x_t, t))

Source: Dong et al. 2023, "RAFT: Reward rAnked FineTuning" (arXiv 2304.06767), algorithm 1. There the best of a batch by
a reward are kept; here, where a user labels like or dislike, the liked ones (s > 1/2).
"""

from __future__ import annotations

import numpy as np

from papa.feedback import Feedback, Query
from papa.methods._finetune import FineTuned, FinetuneSettings, Update
from papa.methods.declaration import Declaration


class RaftSettings(FinetuneSettings):
    """RAFT: the plain denoising loss on the liked items of all rounds."""


class Raft(FineTuned[RaftSettings]):
    """Online fine-tuning on liked items alone."""

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        self.train(*self.seen.where(self.seen.preference > 0.5))  # NaN (unanswered) is not

    def gradient(self, update: Update) -> tuple[float, ...]:
        return (self.denoising_gradient(update, np.full(len(update.x0), 1 / len(update.x0))),)


RAFT = Declaration(RaftSettings, Raft, "RAFT (arXiv 2304.06767)")
