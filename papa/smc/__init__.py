"""Sequential Monte Carlo: log-weights, resampling, and the Feynman-Kac corrector. Pure functions."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from papa.settings import Fraction, Settings


class FkcOptions(Settings):
    """How the particles of `papa.smc.fkc` move and are weighted."""

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

    @model_validator(mode="after")
    def _continuous_weights_need_the_whole_gradient(self) -> FkcOptions:
        if self.weights == "continuous" and self.reward_on == "clean" and self.gradient == "leaf":
            raise ValueError(
                "weights: continuous needs gradient: through. The leaf gradient omits d x0 / d y, and the "
                "continuous weights are wrong with it. Set gradient: through, or weights: exact."
            )
        return self

    def scale(self, sigma: float, spread: float) -> float:
        """Factor on the proposal's shift at noise level sigma.

        The leaf gradient omits d x0 / d y, which for data of standard deviation sigma_d (`spread`) is about
        sigma_d^2 / (sigma_d^2 + sigma^2).
        """
        if self.guidance == "shrunk" and self.reward_on == "clean" and self.gradient == "leaf":
            return spread**2 / (spread**2 + sigma**2)
        return 1.0
