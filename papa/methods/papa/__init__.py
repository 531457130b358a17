"""PAPA and EPAPA: fine-tune the diffusion model online on what one user liked and disliked (arXiv 2607.00486)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from papa.methods.declaration import Declaration
from papa.methods.shared.finetune import FinetuneSettings
from papa.settings import Fraction, NonNegative, Positive


class PapaSettings(FinetuneSettings):
    """PAPA: online fine-tuning on liked and disliked items (arXiv 2607.00486)."""

    preset: Literal["default", "published"] = "default"
    """`published` follows the release: the current round only, one Adam step per image, one eps shared by
    all timesteps, lambda_t with the wrapped first weight and the release's sum, c_pref = 0.1, c_qpde = 0.009, Adam
    1e-5, the second term at the last timestep of the liked items only. At T = 1000 with the paper's betas its gradient
    is the release's, up to the factor of the mean over the items of a step. Single settings given beside it win."""
    c_pref: NonNegative = 1.0
    """Weight of the preference term (the timestep weights sum to 1, unless they are the published ones)."""
    c_qpde: NonNegative = 0.75
    """Weight of the term that stays near the anchor (a mean over timesteps). At 1 the optimum is the model
    conditioned on being liked (see `papa.methods.papa.method`); a few dozen steps fall short of it, which a
    somewhat smaller weight makes up for (docs/tuning.md)."""
    weights: Literal["uniform", "lambda", "published"] = "uniform"
    """Timestep weights of the preference term: 1/T, the paper's lambda_t (normalized), or lambda_t with the sum that
    they have in the release, 20.3 at T = 1000: its coefficients belong to those."""
    first_weight: Literal["clipped", "published"] = "clipped"
    """What stands for lambda_1, which diverges in the formula (see `papa.methods.papa.loss.lambda_weights`)."""
    queries: Literal["own", "base"] = "own"
    """What is shown: samples of the model as aligned so far, or of the base (a passive session)."""
    balance: Literal["none", "equal"] = "none"
    """Likes and dislikes as they were labelled, or weighted to as many of each, with the anchor weighted to the base's
    shares: the optimum at c_qpde = c_pref does not depend on the share of likes then (`papa.methods.papa.method`)."""
    negatives: Literal["bounded", "published", "none"] = "bounded"
    """Disliked items: ascent that stops at a margin, unbounded ascent, or left out."""
    margin: NonNegative = 1.0
    """Bounded ascent stops where the item's error exceeds (1 + margin) times the base's error."""
    accumulate: bool = True
    """Train on the labels of all rounds (the paper's figure), or of the current one (the release)."""
    anchor: Literal["base", "previous"] = "base"
    """What c_qpde stays near: the pre-trained model, or the previous round's (online variational Bayes)."""
    qpde_on: Literal["all", "liked"] = "all"
    """Items of the second term."""
    qpde_timesteps: Literal["same", "last"] = "same"
    """Timesteps of the second term: those of the first, or the last of the loop alone (the release)."""
    shared_noise: bool = False
    """One eps per item for all its timesteps (the release), or one for each."""
    processes: Positive = 1
    """How many processes the release would run, 8 in its script. Each sums over its own part of the timesteps, with
    noise of its own and the second term at the part's last timestep, and the gradients are averaged where a sum was
    meant; so the release's objective depends on their number. With `timesteps: exact` and `qpde_timesteps: last`."""
    frozen_below: Fraction = 0.0
    """EPAPA's k as a share of T: timesteps below it are neither trained nor sampled with the tuned model. The strata
    above it are as wide as PAPA's where K (1 - k) is a whole number (K = 5 for 0.2, 0.4, ...); at any other k they are
    as many as are nearest to that, and the estimator has the right mean all the same."""

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
                "balance: equal takes the share of likes among base samples from the first round, and given pictures "
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
    "items": 1,  # and as many steps as a round has images
    "lr": 1e-5,
}


class EpapaSettings(PapaSettings):
    """EPAPA: PAPA that trains and uses only the noisy part of the chain."""

    frozen_below: Fraction = 0.4
    """Published: k = 400 of T = 1000."""


SOURCE = "PAPA: Online Personalized Active Preference Alignment (arXiv 2607.00486)"
PAPA = Declaration(PapaSettings, "papa.methods.papa.method:Papa", SOURCE)
EPAPA = Declaration(EpapaSettings, "papa.methods.papa.method:Papa", SOURCE)
