"""Queries from a pool of base samples, chosen by the surrogate.

    random     uniform
    greedy     largest mean
    ucb        largest mean + sd
    thompson   each the best under another posterior sample
    straddle   largest 1.96 sd - |mean|, near the decision boundary; each choice updates the covariance for the next
    diverse    k-center: each the farthest from all labelled items, in the reward model's features

Mean and sd are those of the logit f of the Bayesian head. The pool is sampled once, from noise of its own, so none of
its items is among the final samples. The first round is random (except for `diverse`). While all answers are equal
there is no boundary and no best item, and every strategy but `random` falls back to `diverse`: on digits, over 16 pools
and 10 classes, 24 labels of `straddle` contain no like in 4% of the cases (19% without; `random` 8%).

Sources: Thompson 1933; Srinivas et al. 2010 (arXiv 0912.3995) for ucb; Bryan et al. 2005 for straddle; Sener & Savarese
2018 (arXiv 1708.00489) for k-center.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from papa.methods._reward_models import RewardModel
from papa.methods._surrogate import SurrogateSettings
from papa.methods.interface import Labelled
from papa.rng import Stream

STRADDLE = 1.96
JITTER = 1e-6


class Pool:
    """Base samples to label, each at most once. draw: (n, stream) -> n base samples; counts their evaluations."""

    def __init__(self, settings: SurrogateSettings, draw: Callable[[int, Stream], Tensor], stream: Stream) -> None:
        self.settings, self.draw, self.stream = settings, draw, stream
        self._latents: Tensor | None = None
        self._features: Tensor | None = None

    @property
    def latents(self) -> Tensor:
        """(pool, ...) samples, computed at the first use."""
        if self._latents is None:
            self._latents = self.draw(self.settings.pool, self.stream)
        return self._latents

    def features(self, model: RewardModel) -> Tensor:
        """(pool, F) features; they do not change, since the base network does not."""
        if self._features is None:
            with torch.no_grad():
                self._features = model.features(self.latents)
        return self._features

    @torch.no_grad()
    def choose(self, model: RewardModel, seen: Labelled, k: int, stream: Stream) -> Tensor:
        """The next k items, fewer where the pool is empty."""
        free = self._free(seen)
        query = self.query_after(seen)
        rng = stream.generator()
        if query == "random":
            chosen = rng.permutation(free)[:k]
        elif query == "diverse":
            chosen = k_center(self.features(model), free, k, rng)
        elif not model.has_variance:  # greedy
            scores = model(self.latents).double().cpu().numpy()
            chosen = free[np.argsort(-scores[free], kind="stable")][:k]
        else:
            mean, covariance = model.joint(self.features(model)[torch.from_numpy(free)])
            chosen = free[CHOICES[query](mean.numpy(), covariance.numpy(), k, rng)]
        return self.latents[torch.from_numpy(chosen)]

    def query_after(self, seen: Labelled) -> str:
        query = self.settings.query
        if query in ("random", "diverse"):
            return query
        if not seen.rounds():
            return "random"
        mixed = (seen.preference > 0.5).any() and (seen.preference <= 0.5).any()  # NaN is neither
        return query if mixed else "diverse"

    def _free(self, seen: Labelled) -> np.ndarray:
        """Indices of the items without a label."""
        used = torch.zeros(len(self.latents), dtype=torch.bool, device=self.latents.device)
        for item in seen.latents if seen.rounds() else ():
            used |= (self.latents == item).flatten(1).all(1)
        return np.flatnonzero(~used.cpu().numpy())


def k_center(features: Tensor, free: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Up to k of the free rows, each the farthest from the labelled and the chosen ones."""
    x = features.numpy()
    used = np.setdiff1d(np.arange(len(x)), free)
    chosen: list[int] = []
    if not len(used) and len(free):
        chosen.append(int(rng.choice(free)))
    near = np.full(len(x), np.inf)
    for index in [*used, *chosen]:
        near = np.minimum(near, ((x - x[index]) ** 2).sum(1))
    while len(chosen) < min(k, len(free)):
        left = np.setdiff1d(free, chosen)
        chosen.append(int(left[near[left].argmax()]))
        near = np.minimum(near, ((x - x[chosen[-1]]) ** 2).sum(1))
    return np.array(chosen, dtype=np.int64)


def greedy(mean: np.ndarray, covariance: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    return np.argsort(-mean, kind="stable")[:k]


def ucb(mean: np.ndarray, covariance: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    return np.argsort(-(mean + np.sqrt(np.diag(covariance).clip(0))), kind="stable")[:k]


def thompson(mean: np.ndarray, covariance: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """The best of each of k posterior samples, or the next best one if it is chosen already."""
    factor = np.linalg.cholesky(covariance + JITTER * (1 + np.diag(covariance).max()) * np.eye(len(mean)))
    chosen: list[int] = []
    for _ in range(min(k, len(mean))):
        drawn = mean + factor @ rng.standard_normal(len(mean))
        drawn[chosen] = -np.inf
        chosen.append(int(drawn.argmax()))
    return np.array(chosen, dtype=np.int64)


def straddle(mean: np.ndarray, covariance: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """The most uncertain near the boundary; each choice reduces the covariance of the others."""
    covariance, chosen = covariance.copy(), []
    for _ in range(min(k, len(mean))):
        score = STRADDLE * np.sqrt(np.diag(covariance).clip(0)) - np.abs(mean)
        score[chosen] = -np.inf
        best = int(score.argmax())
        chosen.append(best)
        slope = 0.25 / np.cosh(mean[best] / 2) ** 2  # sigma'(mean): an answer is an observation with noise 1 / slope
        column = covariance[:, best].copy()
        covariance -= np.outer(column, column) / (column[best] + 1 / max(slope, 1e-12))
    return np.array(chosen, dtype=np.int64)


CHOICES = {"greedy": greedy, "ucb": ucb, "thompson": thompson, "straddle": straddle}
