"""FKC: training-free alignment by particles that are tilted towards a reward (the FKC document; arXiv 2503.02819)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from papa.methods.declaration import Declaration
from papa.methods.shared.tilted import ParticleSettings
from papa.settings import Fraction, NonNegative, Rate


class FkcSettings(ParticleSettings):
    """FKC: reward-tilted sampling with Feynman-Kac correctors; the model's weights stay as they are."""

    gamma_max: NonNegative = 0.05
    """Weight of the diversity term in the first tilted round (where `diversity` is on)."""
    gamma_min: NonNegative = 0.0
    """Weight of the diversity term in the last round."""
    diversity: bool = False
    """Add gamma L_div to the reward: a stated heuristic outside the theory."""
    history: Annotated[int, Field(ge=0, le=10**6)] = 64
    """Past particles that the diversity term also keeps away from."""
    weights: Literal["exact", "continuous"] = "exact"
    """Form of the log-weights (see `papa.smc.fkc`)."""
    reward_on: Literal["clean", "state"] = "clean"
    """Reward of the clean estimate, or of the noisy state (for rewards that are known everywhere)."""
    gradient: Literal["leaf", "through"] = "leaf"
    """Reward gradient at the clean estimate, or through the denoiser."""
    guidance: Literal["shrunk", "full", "none"] = "shrunk"
    """Scale of the proposal's shift: sigma_d^2 / (sigma_d^2 + sigma^2), 1, or 0."""
    resampling: Literal["systematic", "stratified", "none"] = "systematic"
    """Resampling scheme along the trajectory; the last step always resamples."""
    ess_threshold: Fraction = 0.5
    """Resample where the effective sample size falls below this share of N."""
    init: Literal["noise", "base"] = "noise"
    """Start of the particles: pure noise, or base latents noised to the first level."""
    clamp_weights: Rate | None = None
    """The document clamps log-weights to +-100 (`continuous` form only); off by default."""

    @model_validator(mode="after")
    def _refuse_wrong_forms(self) -> FkcSettings:
        if self.weights == "continuous" and self.reward_on == "clean" and self.gradient == "leaf":
            raise ValueError(
                "weights: continuous needs gradient: through. The leaf gradient omits d x0 / d y, and the "
                "continuous weights are wrong with it. Set gradient: through, or weights: exact."
            )
        if self.clamp_weights is not None and self.weights != "continuous":
            raise ValueError("clamp_weights belongs to weights: continuous; remove it or change the form.")
        return self


FKC = Declaration(FkcSettings, "papa.methods.fkc.method:Fkc", "the FKC document; Skreta et al. 2025 (arXiv 2503.02819)")
