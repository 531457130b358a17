"""PAPA and EPAPA: online fine-tuning of the diffusion model on likes and dislikes of one user.

Source: PAPA: Online Personalized Active Preference Alignment (arXiv 2607.00486), Theorem 4.2. EPAPA is
PAPA with `frozen_below` > 0: timesteps below k are neither trained nor sampled with the tuned model.

Why c_qpde = c_pref. Let L and D be the densities of the noised liked and disliked items at x_t, eps_L and eps_D their
mean noise there, and p_0 the share of likes among base samples, so that the base predicts
f* = (p_0 L eps_L + (1-p_0) D eps_D) / (p_0 L + (1-p_0) D). Let p_h be the share of likes among the labelled items. With
equal timestep weights the loss at x_t is minimal where

    [p_h L - (1-p_h) D + c A] f = p_h L eps_L - (1-p_h) D eps_D + c A f*,   A = p_h L + (1-p_h) D,   c = c_qpde / c_pref

If the labelled items come from the base, p_h = p_0, and c = 1 gives f = eps_L exactly: the model conditioned on being
liked. A smaller c extrapolates beyond the liked items and loses diversity (for a share of likes at
x_t below (1-c)/2 without bound); a larger one falls short. The balance is the same at every timestep, so EPAPA's anchor
term is the same sum over fewer ones.

PAPA's own queries are liked more often as it learns, p_h > p_0. Then c = 1 gives f = w eps_L + (1-w) eps_D with

    w = (1 + (p_0 / p_h) A / (p_0 L + (1-p_0) D)) / 2,      which is (1 + p_0/p_h) / 2 where L = D (pure noise)

so it falls short of eps_L, by at most half. Two settings correct that. `queries: base` shows base samples only.
`balance: equal` reweights the preference term to balanced labels, p' = 1/2, weighs the items of the anchor to
the base's shares (p_0/p_h for a liked one, (1-p_0)/(1-p_h) for a disliked one), and takes c (1-p') / (1-p_0) for c:
then eps_D cancels at every x_t, whatever p_h is, and c = 1 gives f = eps_L again. p_0 is estimated from the first
round, whose items are base samples (rule of succession); likes and dislikes count for at least an eighth of the items,
so that a single answer, possibly an error, does not outweigh many of the other kind.

This assumes two things. Liked own queries must be distributed as the base's liked samples, and disliked ones likewise;
as PAPA narrows, this is only approximate, and `balance` corrects the shares alone. And the bound on dislikes
(`negatives: bounded`) must be inactive: where the error of a disliked item reaches its ceiling, its gradient stops and
its anchor stays, which pulls f towards f*.

On a guided model this optimum is of the conditional model; guidance on top of it is a heuristic, as in the base.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import model_validator

from papa.errors import SettingsError
from papa.feedback import Feedback, Query
from papa.methods._finetune import FineTuned, FinetuneSettings, Update
from papa.methods._lazy import Denoiser, Tensor, lora, losses, nn, schedule, switched, torch
from papa.methods.declaration import Declaration
from papa.settings import Fraction, NonNegative, Positive

LEAST_SHARE = 1 / 8
"""Minimum share of likes, and of dislikes, where they are balanced."""


class PapaSettings(FinetuneSettings):
    """PAPA: online fine-tuning on likes and dislikes (arXiv 2607.00486)."""

    preset: Literal["default", "published"] = "default"
    """`published` follows the release: the current round only, one Adam step per image, one eps shared by
    all timesteps, lambda_t with the wrapped first weight and the release's sum, c_pref = 0.1, c_qpde = 0.009, Adam
    1e-5, the second term at the last timestep of the liked items only. At T = 1000 with the paper's betas its gradient
    is the release's, up to the factor of the mean over the items of a step. Single settings given beside it win."""
    c_pref: NonNegative = 1.0
    """Weight of the preference term (the timestep weights sum to 1, unless they are the published ones)."""
    c_qpde: NonNegative = 0.75
    """Weight of the anchor term (a mean over timesteps). At 1 the optimum is the model conditioned on a like (see the
    module docstring); a few dozen steps do not reach it, which a smaller weight compensates (docs/tuning.md)."""
    weights: Literal["uniform", "lambda", "published"] = "uniform"
    """Timestep weights of the preference term: 1/T, the paper's lambda_t (normalized), or lambda_t with the sum that
    they have in the release, 20.3 at T = 1000: its coefficients belong to those."""
    first_weight: Literal["clipped", "published"] = "clipped"
    """The value of lambda_1, which diverges in the formula (see `papa.methods.losses.lambda_weights`)."""
    queries: Literal["own", "base"] = "own"
    """Items to label: samples of the current model, or of the base (a passive session)."""
    balance: Literal["none", "equal"] = "none"
    """Likes and dislikes as labelled, or reweighted to equal shares, with the anchor reweighted to the base's shares;
    then the optimum at c_qpde = c_pref does not depend on the share of likes (see the top of this file)."""
    negatives: Literal["bounded", "published", "none"] = "bounded"
    """Disliked items: ascent that stops at a margin, unbounded ascent, or left out."""
    margin: NonNegative = 1.0
    """Bounded ascent stops where the item's error exceeds (1 + margin) times the base's error."""
    accumulate: bool = True
    """Train on the labels of all rounds (the paper's figure), or of the current one (the release)."""
    anchor: Literal["base", "previous"] = "base"
    """Anchor of the c_qpde term: the pre-trained model, or the previous round's (online variational Bayes)."""
    qpde_on: Literal["all", "liked"] = "all"
    """Items of the second term."""
    qpde_timesteps: Literal["same", "last"] = "same"
    """Timesteps of the second term: those of the first, or the last of the loop alone (the release)."""
    shared_noise: bool = False
    """One eps per item for all its timesteps (the release), or one for each."""
    processes: Positive = 1
    """Number of processes of the release, 8 in its script. Each sums over its own part of the timesteps, with
    noise of its own and the second term at the part's last timestep, and the gradients are averaged where a sum was
    meant; so the release's objective depends on their number. With `timesteps: exact` and `qpde_timesteps: last`."""
    frozen_below: Fraction = 0.0
    """EPAPA's k as a share of T: timesteps below it are neither trained nor sampled with the tuned model. The strata
    above it are as wide as PAPA's where K (1 - k) is a whole number (K = 5 for 0.2, 0.4, ...); at any other k they are
    as many as are nearest to that, and the estimator remains unbiased."""

    @model_validator(mode="after")
    def _balance_needs_both(self) -> PapaSettings:
        if self.balance == "equal" and self.negatives == "none":
            raise ValueError("balance: equal weighs likes against dislikes, and negatives: none leaves those out")
        return self

    @model_validator(mode="after")
    def _processes_have_parts(self) -> PapaSettings:
        if self.processes > 1 and (self.timesteps, self.qpde_timesteps) != ("exact", "last"):
            raise ValueError("processes: parts of the timesteps need timesteps: exact and qpde_timesteps: last")
        return self

    @property
    def cannot_begin(self) -> str | None:
        if self.balance == "equal" and self.queries == "own":
            return (
                "balance: equal takes the share of likes among base samples from the first round, and given images "
                "are no base samples; set balance: none, or queries: base"
            )
        return None

    @model_validator(mode="before")
    @classmethod
    def _expand_preset(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("preset") == "published":
            one_each = {"updates": data.get("per_round", cls.model_fields["per_round"].default)}
            return PUBLISHED_PAPA | one_each | data
        return data


PUBLISHED_PAPA: dict[str, Any] = {
    "c_pref": 0.1,
    "c_qpde": 0.009,
    "weights": "published",
    "first_weight": "published",
    "negatives": "published",
    "accumulate": False,
    "qpde_on": "liked",
    "qpde_timesteps": "last",
    "timesteps": "exact",
    "shared_noise": True,
    "items": 1,  # one optimization step per image of the round
    "lr": 1e-5,
}


class EpapaSettings(PapaSettings):
    """EPAPA: PAPA that trains and uses only the noisy part of the chain."""

    frozen_below: Fraction = 0.4
    """Published: k = 400 of T = 1000."""


@dataclass(frozen=True)
class Shares:
    """Shares of likes among the items that are learned from, and among the base's, in [0, 1]."""

    labelled: float
    base: float


def rule_of_succession(preference: np.ndarray) -> float:
    """Estimated share of likes, in (0, 1): (likes + 1) / (answers + 2). NaN = unanswered."""
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
        base = self.model.denoiser(self.cost, self.base)
        levels = schedule.sigmas_of(self.alphas_cumprod.double())
        threshold = levels[self.first].item() if self.first < self.total else float("inf")
        return lambda y, sigma: (tuned if sigma >= threshold else base)(y, sigma)

    @property
    def asks_the_base(self) -> bool:
        return self.settings.queries == "base"

    def ask(self, k: int) -> Query:
        return self.base_query(k) if self.asks_the_base else super().ask(k)

    def learn(self, query: Query, feedback: Feedback) -> None:
        self.seen.add(query, feedback)
        if self.settings.anchor == "previous":
            self.anchor = lora.copy_sharing_frozen(self.network)
        seen = self.seen
        latents, preference = (seen.latents, seen.preference) if self.settings.accumulate else seen.last()
        usable = ~np.isnan(preference)
        if self.settings.negatives == "none":
            usable &= preference > 0.5
        chosen = np.flatnonzero(usable)
        if len(chosen):
            self.shares = Shares(float(preference[chosen].mean()), rule_of_succession(self._of_the_base()))
        self.train(latents[torch.from_numpy(chosen)], preference[chosen])

    def _of_the_base(self) -> np.ndarray:
        """The preferences of base samples; given images are none."""
        asked = self.seen.rounds()[self.beforehand :]
        return np.concatenate([np.empty(0), *(asked if self.settings.queries == "base" else asked[:1])])

    def noise(self, update: Update, shared: bool = False) -> Callable[[int], Tensor]:
        """As in `FineTuned`; where there are several processes, shared noise is shared within each."""
        draws = self.settings.processes
        if not shared or draws == 1:
            return super().noise(update, shared)
        stream, shape = update.stream.at("eps"), self.model.shape

        def eps(item: int) -> Tensor:
            drawn = torch.from_numpy(stream.at(item=item).normal(draws, *shape))
            return drawn.repeat_interleave(self.strata // draws, 0)

        return eps

    def gradient(self, update: Update) -> tuple[float, ...]:
        return losses.papa_gradient(
            losses.Networks(self.network, self.base, self.anchor),
            self.alphas_cumprod,
            update.x0,
            self.noise(update, self.settings.shared_noise),
            self.pairs(update),
            self.settings.chunk,
            self.cost,
            update.scale,
        )

    def pairs(self, update: Update) -> losses.Pairs:
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
        return losses.Pairs(timesteps, preference.float(), near.float(), ceiling)

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
        weights = losses.lambda_weights(self.alphas_cumprod, self.settings.first_weight)
        return weights * losses.released_sum() if self.settings.weights == "published" else weights

    def aligned(self) -> nn.Module:
        """The tuned network; EPAPA's is for the timesteps from k on."""
        return switched.FromTimestep(self.network, self.first) if self.first else self.network


SOURCE = "PAPA: Online Personalized Active Preference Alignment (arXiv 2607.00486)"
PAPA = Declaration(PapaSettings, Papa, SOURCE)
EPAPA = Declaration(EpapaSettings, Papa, SOURCE)
