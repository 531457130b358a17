"""SEIKO: optimism in fine-tuning, by the gradient of a reward model and its uncertainty (arXiv 2402.16359)."""

from __future__ import annotations

from pydantic import model_validator

from papa.methods.declaration import Declaration
from papa.methods.shared.finetune import FinetuneSettings
from papa.methods.shared.surrogate import SurrogateSettings
from papa.settings import NonNegative, Positive


class SeikoSettings(FinetuneSettings):
    """SEIKO. An update draws `items` samples of its own; `timesteps` is not used."""

    through: Positive = 2
    """Last steps of the sampler that the gradient goes through (DRaFT-K)."""
    ensemble: Positive = 4
    """Reward models, each fitted to another bootstrap sample of the answers; `surrogate.kind: features` has one."""
    bonus: NonNegative = 1.0
    """Weight of their standard deviation in the reward: what is unknown is worth asking. 0 is the reward-model baseline
    that PAPA argues against."""
    kl: NonNegative = 0.01
    """Weight of the KL divergence to the previous round's model."""
    surrogate: SurrogateSettings = SurrogateSettings()

    @model_validator(mode="after")
    def _the_model_asks(self) -> SeikoSettings:
        if self.surrogate.query != "own":
            raise ValueError("surrogate.query: SEIKO shows samples of its own model; leave it at own")
        return self


SEIKO = Declaration(SeikoSettings, "papa.methods.seiko.method:Seiko", "SEIKO (arXiv 2402.16359)")
