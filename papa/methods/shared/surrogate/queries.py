"""What is shown next: items of a pool of base samples, by what the surrogate knows of them.

    random     any of them
    greedy     those with the largest mean
    ucb        the largest mean + sd
    thompson   each the best under another draw of the head's weights
    straddle   the largest 1.96 sd - |mean|, where like and dislike meet; each choice is counted as seen for the next
    diverse    each the one farthest from all that was shown, in the surrogate's features (k-center)

Means and deviations are those of the head's f. The pool is drawn once, from noise of its own: what is shown is none of
the base samples that are served. The first round of everything but `diverse` is random. While all answers are alike the
surrogate knows no boundary and no best, so all but `random` then choose as `diverse` does: on digits, of 16 pools and
10 classes to be liked, 24 labels of `straddle` hold no like in 4% of the cases (19% by itself; `random` 8%).

Sources: Thompson 1933; Srinivas et al. 2010 (arXiv 0912.3995) for ucb; Bryan et al. 2005 for straddle; Sener & Savarese
2018 (arXiv 1708.00489) for k-center.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from papa.methods.shared.labelled import Labelled
from papa.methods.shared.surrogate import SurrogateSettings
from papa.methods.shared.surrogate.features import FeatureSurrogate
from papa.methods.shared.surrogate.interface import RewardModel
from papa.rng import Stream

STRADDLE = 1.96
JITTER = 1e-6


class Pool:
    """Base samples that may be shown, each once.

    Args:    draw: (n, stream) -> n base samples, whose evaluations it counts. stream: that of the pool.
    """

    def __init__(self, settings: SurrogateSettings, draw: Callable[[int, Stream], Tensor], stream: Stream) -> None:
        self.settings, self.draw, self.stream = settings, draw, stream
        self._latents: Tensor | None = None
        self._features: Tensor | None = None

    @property
    def latents(self) -> Tensor:
        """(pool, ...) samples, drawn when they are first asked for."""
        if self._latents is None:
            self._latents = self.draw(self.settings.pool, self.stream)
        return self._latents

    def features(self, surrogate: RewardModel) -> Tensor:
        """(pool, F) where distances are taken: the head's features, or the latents themselves."""
        if not isinstance(surrogate, FeatureSurrogate):
            return self.latents.flatten(1).double().cpu()
        if self._features is None:  # the base network stays as it is, and so do they
            with torch.no_grad():
                self._features = surrogate.features(self.latents)
        return self._features

    @torch.no_grad()
    def choose(self, surrogate: RewardModel, seen: Labelled, k: int, stream: Stream) -> Tensor:
        """The next k items, fewer where the pool is empty. seen: everything so far with its answers."""
        free = self._free(seen)
        query = self.query_after(seen)
        rng = stream.generator()
        if query == "random":
            taken = rng.permutation(free)[:k]
        elif query == "diverse":
            taken = k_center(self.features(surrogate), free, k, rng)
        elif query == "greedy" and not isinstance(surrogate, FeatureSurrogate):
            scores = surrogate(self.latents).double().cpu().numpy()
            taken = free[np.argsort(-scores[free], kind="stable")][:k]
        else:
            assert isinstance(surrogate, FeatureSurrogate) and surrogate.posterior is not None
            mean, covariance = surrogate.posterior.joint(self.features(surrogate)[torch.from_numpy(free)])
            taken = free[CHOICES[query](mean.numpy(), covariance.numpy(), k, rng)]
        return self.latents[torch.from_numpy(taken)]

    def query_after(self, seen: Labelled) -> str:
        """How the next items are chosen."""
        query = self.settings.query
        if query in ("random", "diverse"):
            return query
        if not seen.rounds():
            return "random"
        liked, disliked = (
            (seen.preference > 0.5).any(),
            (seen.preference <= 0.5).any(),
        )  # unanswered ones, NaN, are neither
        return query if liked and disliked else "diverse"

    def _free(self, seen: Labelled) -> np.ndarray:
        """Which items of the pool were not shown yet."""
        used = torch.zeros(len(self.latents), dtype=torch.bool, device=self.latents.device)
        for item in seen.latents if seen.rounds() else ():
            used |= (self.latents == item).flatten(1).all(1)
        return np.flatnonzero(~used.cpu().numpy())


def k_center(features: Tensor, free: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Up to k of the free rows, each the farthest from those that are not free and those already chosen."""
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
    """The largest means."""
    return np.argsort(-mean, kind="stable")[:k]


def ucb(mean: np.ndarray, covariance: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """The largest upper bounds of one deviation."""
    return np.argsort(-(mean + np.sqrt(np.diag(covariance).clip(0))), kind="stable")[:k]


def thompson(mean: np.ndarray, covariance: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """The best of each of k joint draws; where it is taken already, the next best."""
    factor = np.linalg.cholesky(covariance + JITTER * (1 + np.diag(covariance).max()) * np.eye(len(mean)))
    chosen: list[int] = []
    for _ in range(min(k, len(mean))):
        drawn = mean + factor @ rng.standard_normal(len(mean))
        drawn[chosen] = -np.inf
        chosen.append(int(drawn.argmax()))
    return np.array(chosen, dtype=np.int64)


def straddle(mean: np.ndarray, covariance: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """The most uncertain about the boundary, one after the other: what is chosen takes its doubt from the others."""
    covariance, chosen = covariance.copy(), []
    for _ in range(min(k, len(mean))):
        score = STRADDLE * np.sqrt(np.diag(covariance).clip(0)) - np.abs(mean)
        score[chosen] = -np.inf
        best = int(score.argmax())
        chosen.append(best)
        slope = 0.25 / np.cosh(mean[best] / 2) ** 2  # sigma'(mean): an answer tells as much as one with noise 1 / slope
        column = covariance[:, best].copy()
        covariance -= np.outer(column, column) / (column[best] + 1 / max(slope, 1e-12))
    return np.array(chosen, dtype=np.int64)


CHOICES = {"greedy": greedy, "ucb": ucb, "thompson": thompson, "straddle": straddle}
