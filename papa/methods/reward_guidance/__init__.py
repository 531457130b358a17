"""Reward guidance: the gradient of a reward steers sampling; nothing is weighted and nothing resampled."""

from __future__ import annotations

from typing import Literal

from papa.methods.declaration import Declaration
from papa.methods.shared.tilted import TiltedSettings


class RewardGuidanceSettings(TiltedSettings):
    """FKC's proposal alone: what the corrector adds is the difference between the two."""

    gradient: Literal["leaf", "through"] = "leaf"
    """Reward gradient at the clean estimate, or through the denoiser."""
    guidance: Literal["shrunk", "full"] = "shrunk"
    """Scale of the shift: sigma_d^2 / (sigma_d^2 + sigma^2), or 1."""


REWARD_GUIDANCE = Declaration(
    RewardGuidanceSettings,
    "papa.methods.reward_guidance.method:RewardGuidance",
    "classifier guidance by a reward (arXiv 2105.05233), on the clean estimate (arXiv 2209.14687)",
)
