"""Settings of every method that tilts the base by a reward while it samples; what they share is in `method.py`.

Imports no torch.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from papa.methods.declaration import MethodSettings
from papa.methods.shared.surrogate import SurrogateSettings
from papa.settings import NonNegative


class TiltedSettings(MethodSettings):
    """What all have: the inverse temperature along the rounds, and the reward."""

    dial: ClassVar = "beta_max"

    beta_min: NonNegative = 0.5
    """Inverse temperature beta_h of the first tilted round."""
    beta_max: NonNegative = 2.0
    """Inverse temperature of the last round and of the final samples."""
    reward: Literal["surrogate", "true"] = "surrogate"
    """What is tilted by. `true` is a control: it is handed the user's own preference."""
    surrogate: SurrogateSettings = SurrogateSettings()

    @property
    def needs_oracle(self) -> bool:
        return self.reward == "true"


class ParticleSettings(TiltedSettings):
    """What those with interacting particles have."""

    particles: Annotated[int, Field(ge=2, le=10**6)] = 32
    """Particles N of one population."""

    @property
    def true_tilt(self) -> float | None:
        return self.beta_max if self.needs_oracle else None
