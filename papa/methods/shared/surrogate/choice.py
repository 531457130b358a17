"""Which surrogate a method has."""

from __future__ import annotations

from papa.methods.shared.surrogate import SurrogateSettings
from papa.methods.shared.surrogate.interface import Known, RewardModel


def surrogate_of(settings: SurrogateSettings, known: Known) -> RewardModel:
    """The surrogate that the settings ask for, before it has learned anything.

    Raises:  ModelError for `features` and a model without a network.
    """
    if settings.kind == "features":
        from papa.methods.shared.surrogate.features import FeatureSurrogate

        return FeatureSurrogate(settings, known)
    from papa.methods.shared.surrogate.network import Surrogate

    return Surrogate(known.model.shape, settings, known.stream).to(known.model.device)
