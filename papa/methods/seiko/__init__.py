"""SEIKO: optimism in fine-tuning, by the gradient of a reward model and its uncertainty (arXiv 2402.16359)."""

from __future__ import annotations

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


SEIKO = Declaration(SeikoSettings, "papa.methods.seiko.method:Seiko", "SEIKO (arXiv 2402.16359)")
