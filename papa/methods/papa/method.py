"""PAPA and EPAPA: fine-tune the diffusion model on what one user liked and disliked.

Source: PAPA: Online Personalized Active Preference Alignment (arXiv 2607.00486), Theorem 4.2. EPAPA is
PAPA with `frozen_below` > 0: timesteps below k are neither trained nor sampled with the tuned model.

Why c_qpde = c_pref. Let L and D be the densities of the noised liked and disliked items at x_t, eps_L and eps_D their
mean noise there, and p_0 the share of likes among base samples, so that the base predicts
f* = (p_0 L eps_L + (1-p_0) D eps_D) / (p_0 L + (1-p_0) D). Let p_h be the share of likes among the labelled items. With
equal timestep weights the loss at x_t is least where

    [p_h L - (1-p_h) D + c A] f = p_h L eps_L - (1-p_h) D eps_D + c A f*,   A = p_h L + (1-p_h) D,   c = c_qpde / c_pref

If the labelled items come from the base, p_h = p_0, and c = 1 gives f = eps_L exactly: the model conditioned on being
liked, no more and no less. A smaller c extrapolates beyond the liked items and loses diversity (for a share of likes at
x_t below (1-c)/2 without bound); a larger one falls short. The balance is the same at every timestep, so EPAPA's anchor
term is the same sum over fewer ones.

PAPA's own queries are liked more often as it learns, p_h > p_0. Then c = 1 gives f = w eps_L + (1-w) eps_D with

    w = (1 + (p_0 / p_h) A / (p_0 L + (1-p_0) D)) / 2,      which is (1 + p_0/p_h) / 2 where L = D (pure noise)

so it falls short of eps_L, by at most half. Two settings put that right. `queries: base` shows base samples only.
`balance: equal` weighs the preference term to as many likes as dislikes, p' = 1/2, weighs the items of the anchor to
the base's shares (p_0/p_h for a liked one, (1-p_0)/(1-p_h) for a disliked one), and takes c (1-p') / (1-p_0) for c:
then eps_D cancels at every x_t, whatever p_h is, and c = 1 gives f = eps_L again. p_0 is estimated from the first
round, whose items the base drew (Laplace's rule); likes and dislikes count for an eighth of the items at least, so that
one answer among many of the other kind, which may be a slip, does not outweigh them.

All this takes two things for granted. Own queries that are liked must be distributed as the base's liked samples are,
and the disliked ones likewise; as PAPA narrows, they are not quite, and `balance` puts the shares right and not that.
And the bound on dislikes (`negatives: bounded`) must not bind: where the error of a disliked item has reached its
ceiling, its push away stops and its anchor stays, and f is drawn back towards f*.

On a guided model this optimum is of the conditional model; what guidance makes of it is a heuristic, as in the base.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from papa.diffusion.denoiser import Denoiser, SwitchedDenoiser
from papa.diffusion.schedule import sigmas_of
from papa.errors import SettingsError
from papa.feedback import Feedback, Query
from papa.methods.papa import PapaSettings
from papa.methods.papa.loss import Networks, Pairs, accumulate_gradients, lambda_weights, released_sum
from papa.methods.shared.finetune.training import FineTuned, Update
from papa.models.lora import copy_sharing_frozen
from papa.models.switched import FromTimestep

LEAST_SHARE = 1 / 8
"""Share of the items that likes, and dislikes, count for at least where they are balanced."""


@dataclass(frozen=True)
class Shares:
    """Shares of likes among the items that are learned from, and among the base's, in [0, 1]."""

    labelled: float
    base: float


def laplace(preference: np.ndarray) -> float:
    """The share of likes that a few answers tell of, in (0, 1): (likes + 1) / (answers + 2). NaN = unanswered."""
    answered = preference[~np.isnan(preference)]
    return float((answered.sum() + 1) / (len(answered) + 2))


class Papa(FineTuned[PapaSettings]):
    """Online fine-tuning without a reward model."""

    terms = ("loss_preference", "loss_anchor")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.anchor: nn.Module = self.base
        self.shares = Shares(0.5, 0.5)
        self.first = round(self.settings.frozen_below * self.total)
        if (self.total - self.first) % self.settings.processes:
            raise SettingsError(
                f"processes: {self.settings.processes} parts of {self.total - self.first} timesteps are not equal; "
                "take a number that divides them."
            )

    def denoiser(self) -> Denoiser:
        """theta for t >= k, the frozen base below."""
        tuned = super().denoiser()
        if self.first == 0:
            return tuned
        threshold = (
            sigmas_of(self.alphas_cumprod.double())[self.first].item() if self.first < self.total else float("inf")
        )
        return SwitchedDenoiser(tuned, self.model.denoiser(self.cost, self.base), threshold)

    @property
    def asks_the_base(self) -> bool:
        return self.settings.queries == "base"

    def ask(self, k: int) -> Query:
        return self.base_query(k) if self.asks_the_base else super().ask(k)

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        if self.settings.anchor == "previous":
            self.anchor = copy_sharing_frozen(self.network)
        latents, preference = (
            (self.seen.latents, self.seen.preference) if self.settings.accumulate else self.seen.last()
        )
        usable = ~np.isnan(preference)
        if self.settings.negatives == "none":
            usable &= preference > 0.5
        chosen = np.flatnonzero(usable)
        if len(chosen):
            self.shares = Shares(float(preference[chosen].mean()), laplace(self._of_the_base()))
        self.train(latents[torch.from_numpy(chosen)], preference[chosen])

    def _of_the_base(self) -> np.ndarray:
        """The preferences of items that the base drew. Given pictures are none."""
        asked = self.seen.rounds()[self.beforehand :]
        return np.concatenate([np.empty(0), *(asked if self.settings.queries == "base" else asked[:1])])

    def noise(self, update: Update, shared: bool = False) -> Callable[[int], Tensor]:
        """As the class above; shared among the timesteps of a process, where there are several."""
        draws = self.settings.processes
        if not shared or draws == 1:
            return super().noise(update, shared)
        stream, shape = update.stream.at("eps"), self.model.shape

        def eps(item: int) -> Tensor:
            drawn = torch.from_numpy(stream.at(item=item).normal(draws, *shape))
            return drawn.repeat_interleave(self.strata // draws, 0)

        return eps

    def gradient(self, update: Update) -> tuple[float, ...]:
        return accumulate_gradients(
            Networks(self.network, self.base, self.anchor),
            self.alphas_cumprod,
            update.x0,
            self.noise(update, self.settings.shared_noise),
            self.pairs(update),
            self.settings.chunk,
            self.cost,
            update.scale,
        )

    def pairs(self, update: Update) -> Pairs:
        """The (item, timestep) pairs of one update with the weights of both terms; feedback r = 2s - 1."""
        settings, strata, trained = self.settings, self.strata, self.total - self.first
        timesteps = self.timesteps(update)
        r, anchored = (torch.from_numpy(weights)[:, None] for weights in self._item_weights(update.preference))
        mean = 1 / len(update.preference)
        preference = settings.c_pref * mean * r * self._timestep_weights()[timesteps] * (trained / strata)
        near = (settings.c_qpde * mean * (trained / self.total) / strata * anchored).expand(timesteps.shape)
        if settings.qpde_timesteps == "last":
            ends = (timesteps - self.first + 1) % (trained // settings.processes) == 0  # of each process's part
            near = torch.where(ends, settings.c_qpde * mean * (trained / strata) * anchored, 0.0)
        preference, near = preference / settings.processes, near / settings.processes
        if settings.qpde_on == "liked":
            near = torch.where(torch.from_numpy(update.preference)[:, None] > 0.5, near, 0.0)
        ceiling = 1 + settings.margin if settings.negatives == "bounded" else None
        return Pairs(timesteps, preference.float(), near.float(), ceiling)

    def _item_weights(self, preference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights of the items in the preference term, signs included, and in the anchor term; see the module."""
        if self.settings.balance == "none":
            return 2 * preference - 1, np.ones_like(preference)
        h, p = min(max(self.shares.labelled, LEAST_SHARE), 1 - LEAST_SHARE), self.shares.base
        like, dislike = preference / h, (1 - preference) / (1 - h)
        return (like - dislike) / 2, (p * like + (1 - p) * dislike) / (2 * (1 - p))

    def _timestep_weights(self) -> Tensor:
        """(T,) weights, of sum 1 over all T timesteps or of the release's."""
        if self.settings.weights == "uniform":
            return torch.full((self.total,), 1 / self.total, dtype=torch.float64)
        weights = lambda_weights(self.alphas_cumprod, self.settings.first_weight)
        return weights * released_sum() if self.settings.weights == "published" else weights

    def aligned(self) -> nn.Module:
        """The tuned network; EPAPA's is one for the timesteps from k on."""
        return FromTimestep(self.network, self.first) if self.first else self.network
