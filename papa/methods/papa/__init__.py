"""PAPA and EPAPA: fine-tune the diffusion model online on what one user liked and disliked (arXiv 2607.00486)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from papa.methods.declaration import Declaration
from papa.methods.shared.finetune import FinetuneSettings
from papa.settings import Fraction, NonNegative


class PapaSettings(FinetuneSettings):
    """PAPA: online fine-tuning on liked and disliked items (arXiv 2607.00486)."""

    preset: Literal["default", "published"] = "default"
    """`published` follows the release: the current round only, one Adam step per image, one eps shared by
    all timesteps, lambda_t with the wrapped first weight, c_pref = 0.1, c_qpde = 0.009, Adam 1e-5, the
    second term at the last timestep of the liked items only. Single settings given beside it win."""
    c_pref: NonNegative = 1.0
    """Weight of the preference term (the timestep weights sum to 1)."""
    c_qpde: NonNegative = 0.75
    """Weight of the term that stays near the anchor (a mean over timesteps). At 1 the optimum is the model
    conditioned on being liked (see `papa.methods.papa.method`); a few dozen steps fall short of it, which a
    somewhat smaller weight makes up for (docs/tuning.md)."""
    weights: Literal["uniform", "lambda"] = "uniform"
    """Timestep weights of the preference term: 1/T, or the paper's lambda_t (normalized)."""
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
    frozen_below: Fraction = 0.0
    """EPAPA's k as a share of T: timesteps below it are neither trained nor sampled with the tuned model. The strata
    above it are as wide as PAPA's where K (1 - k) is a whole number (K = 5 for 0.2, 0.4, ...); at any other k they are
    as many as are nearest to that, and the estimator has the right mean all the same."""

    @model_validator(mode="after")
    def _balance_needs_both(self) -> PapaSettings:
        if self.balance == "equal" and self.negatives == "none":
            raise ValueError("balance: equal weighs likes against dislikes, and negatives: none leaves those out")
        return self

    @model_validator(mode="before")
    @classmethod
    def _expand_preset(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("preset") == "published":
            return PUBLISHED_PAPA | data
        return data


PUBLISHED_PAPA: dict[str, Any] = {
    "c_pref": 0.1,
    "c_qpde": 0.009,
    "weights": "lambda",
    "first_weight": "published",
    "negatives": "published",
    "accumulate": False,
    "qpde_on": "liked",
    "qpde_timesteps": "last",
    "timesteps": "exact",
    "shared_noise": True,
    "updates": 8,  # one step per image of a round of 8
    "items": 1,
    "lr": 1e-5,
}


class EpapaSettings(PapaSettings):
    """EPAPA: PAPA that trains and uses only the noisy part of the chain."""

    frozen_below: Fraction = 0.4
    """Published: k = 400 of T = 1000."""


SOURCE = "PAPA: Online Personalized Active Preference Alignment (arXiv 2607.00486)"
PAPA = Declaration(PapaSettings, "papa.methods.papa.method:Papa", SOURCE)
EPAPA = Declaration(EpapaSettings, "papa.methods.papa.method:Papa", SOURCE)
